// `oidc-provider`, certified for OpenID Connect and what belongs to it, as an authorization server that knows no challenge
// endpoint: the device grant (RFC 8628), DPoP with nonces, resource indicators, rotating refresh tokens, revocation.
// Not part of Latchpin, and not configured for it beyond what any of its operators must say. argv: one JSON object.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { Provider } from 'oidc-provider'

const { issuer, host, port, certificate, private_key, clients, resources, options } = JSON.parse(process.argv[2])
const { accessTokenTtl = 300, deviceCodeTtl = 600, deviceFlow = true, requireNonce = true } = options
console.info = console.warn // to stderr: the first line on stdout is `ready`
const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code'

const [serving, resourceServers] = [clients.filter(({ resource }) => !resource), clients.filter(({ resource }) => resource)]
const client = ({ id, secret }, rest) => ({ client_id: id, client_secret: secret, redirect_uris: [], response_types: [], ...rest })
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const provider = new Provider(issuer, {
  clients: [
    ...serving.map((entry) =>
      client(entry, {
        client_name: entry.name ?? entry.id,
        grant_types: deviceFlow ? [DEVICE_CODE, 'refresh_token'] : ['authorization_code', 'refresh_token'],
        ...(deviceFlow ? {} : { redirect_uris: ['https://app.example/back'], response_types: ['code'] }),
        dpop_bound_access_tokens: true,
      }),
    ),
    ...resourceServers.map((entry) => client(entry, { grant_types: [] })),
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [{ ...key, use: 'sig', alg: 'ES256', kid: 'key-1' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { AccessToken: accessTokenTtl, DeviceCode: deviceCodeTtl, Grant: 86400, Interaction: 600, RefreshToken: 86400, Session: 3600 },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: deviceFlow },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => requireNonce },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, uri) {
        const found = resources.find((entry) => entry.uri === uri)
        if (!found) throw new Error('no such resource')
        return { audience: uri, scope: found.scopes.join(' '), accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }
      },
    },
  },
})

// What happened, for whoever reads the log: names and numbers, no secret.
const line = (event, members) => console.error(JSON.stringify({ time: new Date().toISOString(), event, ...members }))
const why = (error) => ({ error: error.error ?? error.name, why: error.error_description ?? error.message })
const grant = (ctx) => ctx.oidc.params?.grant_type?.split(':').at(-1)
provider.on('device_authorization.success', (ctx) => line('shown', { client: ctx.oidc.client.clientId }))
provider.on('grant.success', (ctx) => line('granted', { grant: grant(ctx), scope: ctx.body.scope }))
provider.on('grant.error', (ctx, error) => line('refused', { grant: grant(ctx), ...why(error) }))
for (const happened of ['refresh_token.destroyed', 'grant.revoked']) provider.on(happened, () => line(happened))
for (const happened of ['authorization.error', 'introspection.error', 'revocation.error', 'server_error']) {
  provider.on(happened, (_, error) => line(happened, why(error)))
}

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(private_key) }, provider.callback())
server.listen(port, host, () => console.log(`ready ${issuer}`))
process.once('SIGTERM', () => process.exit(0))
process.once('SIGINT', () => process.exit(0))
