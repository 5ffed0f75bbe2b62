// A browser's half of Improv Wi-Fi: the SDK of those who wrote the standard, on a serial line that node opens as a file.
// Not part of Latchpin. argv: the device of the line. It tries a wrong password, then the right one, and says what it saw in JSON.
import { openSync, writeSync } from 'node:fs'
import { register } from 'node:module'
import { Readable } from 'node:stream'
import { ReadStream } from 'node:tty'

// The SDK is made for bundlers: its modules leave ".js" out, and its package does not say that they are modules.
register(
  'data:text/javascript,' +
    encodeURIComponent(`
  const ours = (url) => url?.includes('/improv-wifi-serial-sdk/')
  export const resolve = (name, context, next) =>
    next(ours(context.parentURL) && name.startsWith('.') && !name.endsWith('.js') ? name + '.js' : name, context)
  export const load = (url, context, next) => next(url, ours(url) ? { ...context, format: 'module' } : context)
`),
)
const { ImprovSerial } = await import('improv-wifi-serial-sdk/dist/serial.js')

const LONG_MS = 120_000
const line = openSync(process.argv[2], 'w')
const port = {
  readable: Readable.toWeb(new ReadStream(openSync(process.argv[2], 'r'))),
  writable: new WritableStream({
    write: (bytes) => {
      writeSync(line, bytes)
    },
  }),
}
const client = new ImprovSerial(port, { log() {}, error() {}, debug() {} })
const states = []
client.addEventListener('state-changed', (event) => states.push(event.detail))

const info = await client.initialize(LONG_MS)
const networks = await client.scan(LONG_MS)
const refused = await client.provision('home', 'wrong', LONG_MS).then(
  () => 'accepted',
  (error) => String(error),
)
const unknown = await client.getHostname(LONG_MS).then(
  () => 'accepted',
  (error) => String(error),
)
await client.provision('home', 'secret words', LONG_MS)
process.stdout.write(JSON.stringify({ info, networks, refused, unknown, states, state: client.state, url: client.nextUrl }))
process.exit(0)
