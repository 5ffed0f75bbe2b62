// What each foreign MCP server offers, in words that both SDKs for TypeScript take: registerTool and registerResource.
// Not a protocol: eras, sessions and streams are the SDKs' own.
import { z } from 'zod'

const LONG = 65536
const NOTES = { hello: 'Hello from the shelf.', long: recite(48 * 1024) }

// n bytes that show where something is missing: numbered lines of 16.
function recite(n) {
  return Array.from({ length: Math.ceil(n / 16) }, (_, line) => `line ${String(line * 16).padStart(9)} \n`)
    .join('')
    .slice(0, n)
}

const text = (said) => ({ content: [{ type: 'text', text: said }] })

// `auth` and `notify` find whoever calls, and the way of a notification beside the answer, in what a tool is handed.
export function offer(server, { auth, notify, progressToken }) {
  server.registerTool('whoami', { description: 'Who calls, as the access token says.' }, (handed) => {
    const { claims } = auth(handed).extra
    return text(JSON.stringify({ device: claims.device_id, client: claims.client_id, scopes: claims.scope.split(' ').sort() }))
  })
  const bytes = z.number().int().min(0).max(LONG)
  server.registerTool('recite', { description: 'A text of so many bytes.', inputSchema: z.object({ bytes }) }, ({ bytes }) =>
    text(recite(bytes)),
  )
  const to = z.number().int().min(1).max(100)
  server.registerTool('count', { description: 'Tells each number, then all.', inputSchema: z.object({ to }) }, async ({ to }, handed) => {
    const token = progressToken(handed)
    for (let number = 1; number <= to; number++) {
      await notify(handed, { method: 'notifications/message', params: { level: 'info', data: `${number}` } })
      if (token !== undefined) {
        await notify(handed, { method: 'notifications/progress', params: { progressToken: token, progress: number, total: to } })
      }
    }
    return text(`counted to ${to}`)
  })
  for (const [name, said] of Object.entries(NOTES)) {
    server.registerResource(name, `note://${name}`, { mimeType: 'text/plain' }, (uri) => ({
      contents: [{ uri: uri.href, mimeType: 'text/plain', text: said }],
    }))
  }
}
