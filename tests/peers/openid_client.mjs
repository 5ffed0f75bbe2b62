// A device with openid-client: the device grant with DPoP, polled until a person decides, one refresh. test_openid_client.py.
// Not part of Latchpin: it is here to disagree with it. argv: issuer, client_id, scope, resource. One JSON line out per step.
import * as client from 'openid-client'

const [issuer, clientId, scope, resource] = process.argv.slice(2)
const tell = (step) => process.stdout.write(`${JSON.stringify(step)}\n`)

const config = await client.discovery(new URL(issuer), clientId, undefined, client.None(), { algorithm: 'oauth2' })
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
tell({ metadata: config.serverMetadata() })

const shown = await client.initiateDeviceAuthorization(config, { scope, resource, device_id: 'lp-peer' })
tell({ shown })
try {
  const granted = await client.pollDeviceAuthorizationGrant(config, shown, undefined, { DPoP })
  const refreshed = await client.refreshTokenGrant(config, granted.refresh_token, { resource }, { DPoP })
  await client.tokenRevocation(config, refreshed.refresh_token)
  tell({ granted, refreshed })
} catch (failure) {
  tell({ error: failure.error ?? failure.code ?? String(failure) })
}
