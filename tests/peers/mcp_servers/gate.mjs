// A resource server's door in front of an MCP server on Node.js: HTTPS, RFC 9728 metadata, and DPoP-bound tokens checked by jose.
// Not part of Latchpin: it is here to disagree with it, and shares no line with host_sim/dpop_layer.py.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { calculateJwkThumbprint, createRemoteJWKSet, EmbeddedJWK, errors, jwtVerify } from 'jose'

const WINDOW_S = 300

class Refusal extends Error {
  constructor(error, description) {
    super(description)
    this.error = error
  }
}

// Serves `handle(request, response)` at the resource; `request.auth` is whoever came in, as both SDKs hand it to tools.
export function serve(configured, handle) {
  const { resource, issuer, scopes } = configured
  const { pathname, origin } = new URL(resource)
  const metadataPath = `/.well-known/oauth-protected-resource${pathname}`
  const metadata = {
    resource,
    authorization_servers: [issuer],
    scopes_supported: scopes,
    dpop_signing_alg_values_supported: ['ES256'],
    dpop_bound_access_tokens_required: true,
  }
  const admit = gate(resource, issuer)
  const options = { cert: readFileSync(configured.certificate), key: readFileSync(configured.private_key) }
  const server = createServer(options, async (request, response) => {
    try {
      if (request.url === metadataPath) return answer(response, 200, metadata)
      if (request.url !== pathname) return answer(response, 404, { error: 'not_found' })
      request.auth = await admit(request)
    } catch (failure) {
      if (!(failure instanceof Refusal)) return answer(response, 503, { error: 'temporarily_unavailable' }, { 'Retry-After': '5' })
      const told = { algs: 'ES256', error: failure.error, error_description: failure.message }
      Object.assign(told, { scope: scopes.join(' '), resource_metadata: origin + metadataPath })
      const shown = Object.entries(told).filter(([, value]) => value)
      const challenge = `DPoP ${shown.map(([name, value]) => `${name}="${value}"`).join(', ')}`
      return answer(response, 401, { error: failure.error || 'unauthorized' }, { 'WWW-Authenticate': challenge })
    }
    await handle(request, response)
  })
  server.listen(configured.port, configured.host, () => console.log(`ready ${resource}`))
  process.once('SIGTERM', () => process.exit(0))
  process.once('SIGINT', () => process.exit(0))
}

export function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
}

function gate(resource, issuer) {
  const used = new Map()
  let keys

  // The issuer's keys by its metadata (RFC 8414, section 3), asked for when the first token comes: it may start after us.
  async function issuerKeys() {
    if (!keys) {
      const { origin, pathname } = new URL(issuer)
      const found = await (await fetch(`${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`)).json()
      if (found.issuer !== issuer) throw new Error('metadata of another issuer')
      keys = createRemoteJWKSet(new URL(found.jwks_uri))
    }
    return keys
  }

  async function claimsOf(token) {
    const expected = { issuer, audience: resource, typ: 'at+jwt', algorithms: ['ES256'], clockTolerance: 5 }
    const required = ['exp', 'iat', 'sub', 'client_id', 'jti']
    const { payload } = await jwtVerify(token, await issuerKeys(), { ...expected, requiredClaims: required })
    return payload
  }

  // RFC 9449, section 4.3, and 7.1 for what binds proof and token.
  async function prove(proof, method, token, jkt) {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'] })
    const now = Date.now() / 1000
    const { htm, htu, ath, iat, jti } = payload
    if ((await calculateJwkThumbprint(protectedHeader.jwk)) !== jkt) throw new Refusal('invalid_dpop_proof', 'another key')
    if (htm !== method || htu !== resource) throw new Refusal('invalid_dpop_proof', 'another request')
    if (ath !== createHash('sha256').update(token).digest('base64url')) throw new Refusal('invalid_dpop_proof', 'another token')
    if (!(Math.abs(now - iat) <= WINDOW_S)) throw new Refusal('invalid_dpop_proof', 'iat is too far from now')
    for (const [old, until] of used) if (until < now) used.delete(old)
    if (typeof jti !== 'string' || used.has(`${jkt} ${jti}`)) throw new Refusal('invalid_dpop_proof', 'used before')
    used.set(`${jkt} ${jti}`, now + 2 * WINDOW_S)
  }

  return async ({ headers, method }) => {
    const [scheme, token] = (headers.authorization ?? '').split(' ')
    if (scheme.toLowerCase() !== 'dpop' || !token) throw new Refusal('', '')
    try {
      const claims = await claimsOf(token)
      if (!claims.cnf?.jkt) throw new Refusal('invalid_token', 'bound to no key')
      await prove(headers.dpop ?? '', method, token, claims.cnf.jkt)
      const scopes = (claims.scope ?? '').split(' ')
      return { token, clientId: claims.client_id, scopes, expiresAt: claims.exp, extra: { claims } }
    } catch (failure) {
      if (!(failure instanceof errors.JOSEError) || failure instanceof errors.JWKSTimeout) throw failure
      throw new Refusal(failure.code === 'ERR_JWT_EXPIRED' || !headers.dpop ? 'invalid_token' : 'invalid_dpop_proof', failure.code)
    }
  }
}
