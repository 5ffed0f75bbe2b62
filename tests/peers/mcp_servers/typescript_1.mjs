// The official TypeScript SDK 1.x as a server: MCP until 2025-11-25, with sessions or without, answers in SSE or JSON.
// Not what checks tokens (gate.mjs), nor what it offers (offer.mjs). argv: one JSON object.
import { randomUUID } from 'node:crypto'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js'
import { answer, serve } from './gate.mjs'
import { offer } from './offer.mjs'

const configured = JSON.parse(process.argv[2])
const { stateful, json } = configured.options
const sessions = new Map()

async function connected(options) {
  const server = new McpServer({ name: 'typescript-1', version: '1' }, { capabilities: { logging: {} } })
  offer(server, {
    auth: (handed) => handed.authInfo,
    notify: (handed, notification) => handed.sendNotification(notification),
    progressToken: (handed) => handed._meta?.progressToken,
  })
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: json, ...options })
  await server.connect(transport)
  return transport
}

const failure = (code, message) => ({ jsonrpc: '2.0', error: { code, message }, id: null })

// As the SDK's examples simpleStatelessStreamableHttp and simpleStreamableHttp do it.
async function stateless(request, response) {
  if (request.method !== 'POST') return answer(response, 405, failure(-32000, 'Method not allowed.'), { Allow: 'POST' })
  const transport = await connected({ sessionIdGenerator: undefined })
  response.on('close', () => transport.close())
  await transport.handleRequest(request, response)
}

async function inSession(request, response) {
  const { clientId, extra } = request.auth
  const owner = `${clientId} ${extra.claims.device_id}`
  const id = request.headers['mcp-session-id']
  const session = sessions.get(id)
  if (session?.owner === owner) return session.transport.handleRequest(request, response)
  if (id) return answer(response, 404, failure(-32001, 'Session not found'))
  if (request.method !== 'POST') return answer(response, 400, failure(-32000, 'Bad Request: Missing session ID'))
  let body = ''
  for await (const part of request) body += part
  const message = parsed(body)
  if (!isInitializeRequest(message)) return answer(response, 400, failure(-32000, 'Bad Request: No valid session ID provided'))
  const transport = await connected({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, { transport, owner }),
  })
  transport.onclose = () => sessions.delete(transport.sessionId)
  await transport.handleRequest(request, response, message)
}

function parsed(body) {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

serve(configured, stateful ? inSession : stateless)
