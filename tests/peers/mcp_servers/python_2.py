"""The official Python SDK 2.x as a server: with sessions and until 2025-11-25, or in both eras without; SSE or JSON.

Not `latchpin mcp`, whose gate and `whoami` it borrows. argv: its options in JSON, --config FILE.
"""

import argparse
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import RequestBodyLimitMiddleware
from pydantic import Field
from starlette.applications import Starlette

from host_sim import https_service, mcp_server

NOTES_LONG, LONG = 48 * 1024, 65536


def recited(n: int) -> str:
    """n bytes that show where something is missing: numbered lines of 16."""
    return "".join(f"line {at:9} \n" for at in range(0, n, 16))[:n]


def offer(server: MCPServer) -> None:
    """What each foreign server offers (offer.mjs), beside the demo's own tools."""

    @server.tool(structured_output=False)
    def recite(bytes: Annotated[int, Field(ge=0, le=LONG)]) -> str:
        """A text of so many bytes."""
        return recited(bytes)

    @server.tool(structured_output=False)
    async def count(to: Annotated[int, Field(ge=1, le=100)], ctx: Context) -> str:
        """Tells each number, then all."""
        for number in range(1, to + 1):
            await ctx.log("info", str(number))
            await ctx.report_progress(number, to)
        return f"counted to {to}"

    @server.resource("note://hello", mime_type="text/plain")
    def hello() -> str:
        return "Hello from the shelf."

    @server.resource("note://long", mime_type="text/plain")
    def long() -> str:
        return recited(NOTES_LONG)


def app(server: MCPServer, configured: mcp_server.Configuration, stateful: bool, json: bool) -> Starlette:
    built = server.streamable_http_app(
        streamable_http_path=urlsplit(configured.resource).path,
        stateless_http=not stateful,
        json_response=json,
        transport_security=mcp_server.security(configured),
    )
    if stateful:
        # Reaching in: the SDK serves 2026-07-28 beside sessions, and here stands a server from before.
        manager = server.session_manager
        manager.asgi_app = RequestBodyLimitMiddleware(manager._handle_stateful_request, manager.max_request_body_size)
    return built


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("options", type=json.loads)
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    configured, options = mcp_server.load(args.config), dict[str, Any](args.options)
    server = mcp_server.tools(configured)
    offer(server)
    methods = ("POST", "GET", "DELETE") if options["stateful"] else ("POST",)
    gate = mcp_server.gate(app(server, configured, **options), configured, methods)
    https_service.serve(gate, configured, configured.resource, "on")


if __name__ == "__main__":
    main()
