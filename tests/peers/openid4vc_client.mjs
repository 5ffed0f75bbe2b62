// An app with @openid4vc/oauth2: challenge, a wrong PIN, the right PIN, tokens, one refresh. Driven by test_openid4vc.py.
// Not part of Latchpin: it is here to disagree with it. One JSON line in for the plan, one per PIN; one JSON line out per step.
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { createInterface } from 'node:readline'
import {
  clientAuthenticationNone,
  HashAlgorithm,
  Oauth2Client,
  Oauth2ClientAuthorizationChallengeError,
} from '@openid4vc/oauth2'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => JSON.parse((await lines.next()).value)
const tell = (step) => process.stdout.write(`${JSON.stringify(step)}\n`)
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const plan = await read()
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const publicJwk = publicKey.export({ format: 'jwk' })
const signer = { method: 'jwk', alg: 'ES256', publicJwk }

const statuses = []
const client = new Oauth2Client({
  callbacks: {
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      statuses.push(response.status)
      return response
    },
    hash: (data, algorithm) =>
      createHash(algorithm === HashAlgorithm.Sha256 ? 'sha256' : algorithm.replace('-', '')).update(data).digest(),
    generateRandom: (bytes) => randomBytes(bytes),
    signJwt: (_, { header, payload }) => {
      const input = `${encode(header)}.${encode(payload)}`
      const signature = sign('sha256', Buffer.from(input), { key: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })), dsaEncoding: 'ieee-p1363' })
      return { jwt: `${input}.${signature.toString('base64url')}`, signerJwk: publicJwk }
    },
    clientAuthentication: clientAuthenticationNone({ clientId: plan.client_id }),
  },
})

const authorizationServerMetadata = await client.fetchAuthorizationServerMetadata(plan.issuer)
const pkceCodeVerifier = randomBytes(32).toString('base64url')
let dpop = plan.dpop ? { signer } : undefined

// It never sends response_type by itself, and repeats scope and resource in each follow-up.
async function challenge(authSession, answers) {
  try {
    const answer = await client.sendAuthorizationChallengeRequest({
      authorizationServerMetadata,
      authSession,
      pkceCodeVerifier,
      scope: plan.scope,
      resource: plan.resource,
      redirectUri: plan.redirect_uri,
      dpop,
      additionalRequestPayload: { response_type: 'code', device_id: plan.device, ...answers },
    })
    dpop = answer.dpop ?? dpop
    return answer.authorizationChallengeResponse
  } catch (error) {
    if (!(error instanceof Oauth2ClientAuthorizationChallengeError)) throw error
    return error.errorResponse
  }
}

let answer = await challenge()
while (answer.error === 'insufficient_authorization') {
  const { inputs, reason, tries_left, binding_word } = answer
  tell({ asked: inputs.map((input) => input.name), inputs, reason, tries_left, binding_word })
  answer = await challenge(answer.auth_session, await read())
}
if (!answer.authorization_code) {
  tell({ error: answer.error, request_uri: answer.request_uri, expires_in: answer.expires_in })
  process.exit(1)
}

const granted = await client.retrieveAuthorizationCodeAccessToken({
  authorizationServerMetadata,
  authorizationCode: answer.authorization_code,
  pkceCodeVerifier,
  resource: plan.resource,
  dpop,
})
const refreshed = await client.retrieveRefreshTokenAccessToken({
  authorizationServerMetadata,
  refreshToken: granted.accessTokenResponse.refresh_token,
  resource: plan.resource,
  dpop: granted.dpop ?? dpop,
})
tell({ granted: granted.accessTokenResponse, refreshed: refreshed.accessTokenResponse, public_jwk: publicJwk, statuses })
process.exit(0)
