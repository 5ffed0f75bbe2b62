// The official TypeScript SDK 2.x as a server: MCP 2026-07-28, and what came before it without sessions.
// Not what checks tokens (gate.mjs), nor what it offers (offer.mjs). argv: one JSON object.
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { serve } from './gate.mjs'
import { offer } from './offer.mjs'

const configured = JSON.parse(process.argv[2])
const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'typescript-2', version: '1' }, { capabilities: { logging: {} } })
  offer(server, {
    auth: (handed) => handed.http.authInfo,
    notify: (handed, notification) => handed.mcpReq.notify(notification),
    progressToken: (handed) => handed.mcpReq._meta?.progressToken,
  })
  return server
}, configured.options)

serve(configured, toNodeHandler(handler))
