"""An MCP call as bytes, and what its answer says (MCP 2026-07-28: one POST, no session).

Not for sending: the body goes out by the bridge's relay or straight over HTTPS, and looks the same on both ways.
"""

import json

from latchpin.runtime import const
from latchpin.wire.errors import PeerError

_VERSION = const("2026-07-28")


def call(tool: str, arguments: dict) -> bytes:
    """The JSON-RPC body of `tools/call`."""
    meta = {"io.modelcontextprotocol/protocolVersion": _VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def headers(method: str, name: str) -> str:
    """The header lines of a request (basic/transports: content negotiation, protocol version, standard request headers)."""
    return (
        "Content-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\n"
        "MCP-Protocol-Version: " + _VERSION + "\r\nMcp-Method: " + method + "\r\nMcp-Name: " + name + "\r\n"
    )


def read(body: bytes) -> tuple[bool, str]:
    """(the tool says it worked, its text) from a JSON or an SSE answer.

    Raises PeerError: neither of the two, or no JSON-RPC answer.
    """
    try:
        text = body.decode()
        if text.lstrip()[:1] != "{":
            # Server-sent events: notifications come before the response, which is the last message of the stream.
            text = [line[5:] for line in text.split("\n") if line[:5] == "data:"][-1]
        answer = json.loads(text)
        if "error" in answer:
            return False, str(answer["error"].get("message", ""))
        result = answer["result"]
        parts = [part["text"] for part in result.get("content", ()) if part.get("type") == "text"]
        return not result.get("isError", False), "\n".join(parts)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise PeerError
