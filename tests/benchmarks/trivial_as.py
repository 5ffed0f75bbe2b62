"""An HTTPS server that answers every challenge with the same prompt: what is left is the bridge's own cost.

Not an authorization server: it checks nothing and parses as little as it can. argv: port, certificate, key. What is posted to
/pass is answered by as many bytes as a sealed PROMPT has.
"""

import asyncio
import json
import ssl
import sys

from host_sim.broker import loop_factory

PROMPT = {
    "error": "insufficient_authorization",
    "auth_session": "s" * 43,
    "inputs": [{"name": "pin", "kind": "digits", "min": 9, "max": 9, "check": "damm", "label": "PIN"}],
    "message": "Ask for a PIN for this device",
    "reason": "none",
    "tries_left": 5,
    "inputs_expire_in": 600,
    "binding_word": "amber fox",
}
SEALED_PROMPT_BYTES = 256


def answers(origin: str) -> dict[bytes, bytes]:
    """By path, each answer as it stands on the wire."""
    metadata = {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": f"{origin}/token",
        "authorization_challenge_endpoint": f"{origin}/challenge",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": ["ES256"],
    }
    resource = {"resource": f"{origin}/mcp", "authorization_servers": [origin]}
    return {
        b"/.well-known/oauth-authorization-server": _answer(b"200 OK", json.dumps(metadata).encode()),
        b"/.well-known/oauth-protected-resource/mcp": _answer(b"200 OK", json.dumps(resource).encode()),
        b"/challenge": _answer(b"403 Forbidden", json.dumps(PROMPT).encode()),
        b"/pass": _answer(b"200 OK", bytes(SEALED_PROMPT_BYTES), b"application/octet-stream"),
    }


def _answer(status: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


class Connection(asyncio.Protocol):
    """Requests on one connection, one after the other."""

    def __init__(self, said: dict[bytes, bytes]) -> None:
        self._said, self._rest = said, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n") + 4) > 3:
            head = data[:end].lower()
            at = head.find(b"content-length:")
            size = end + (int(head[at + 15 : head.index(b"\r", at)]) if at > 0 else 0)
            if len(data) < size:
                break
            self._transport.write(self._said.get(data.split(b" ", 2)[1], _NOTHING))  # type: ignore[attr-defined]
            data = data[size:]
        self._rest = data


_NOTHING = _answer(b"404 Not Found", b"{}")


async def main(port: int, certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    origin = f"https://localhost:{port}"
    said = answers(origin)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(said), "127.0.0.1", port, ssl=context)
    print("ready", origin, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(int(sys.argv[1]), *sys.argv[2:]))
