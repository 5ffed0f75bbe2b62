"""An authorization server and an MCP server that we have never seen: HTTPS on loopback, saying whatever a test wants.

Not the reference AS: it checks nothing by itself and may be as wrong as a server can be.
"""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import trustme


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), "a parameter twice"
        return dict(pairs)


class Said(NamedTuple):
    """An answer. A `body` that is no bytes is JSON; `write` writes the whole answer itself."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = {}  # noqa: RUF012
    write: Callable[[Any], None] | None = None


Answers = Callable[[Asked], Said]


class Foreign:
    """`routes`: path to what answers it; `asked`: every request in order. `issuer` and `resource` are its own URLs."""

    def __init__(self, folder: Path, authority: trustme.CA | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = authority or trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        foreign = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do(self) -> None:
                foreign._answer(self)

            do_GET = do_POST = do

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.origin = f"https://localhost:{self._server.server_address[1]}"
        self.issuer = self.origin
        self.resource = f"{self.origin}/mcp"
        self.asked: list[Asked] = []
        self.routes: dict[str, Answers] = {}
        self.usual()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def usual(self) -> None:
        """Metadata as they should be; every endpoint says 500."""
        self.asked.clear()
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "authorization_challenge_endpoint": f"{self.origin}/challenge",
            "device_authorization_endpoint": f"{self.origin}/device",
            "revocation_endpoint": f"{self.origin}/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "something_new": {"nobody": ["knows", 1.5, None]},
        }
        self.resource_metadata: dict[str, Any] = {"resource": self.resource, "authorization_servers": [self.issuer]}
        self.routes = {
            "/.well-known/oauth-authorization-server": lambda asked: Said(200, self.metadata),
            "/.well-known/oauth-protected-resource/mcp": lambda asked: Said(200, self.resource_metadata),
        }

    def says(self, path: str, *answers: Said) -> None:
        """These answers in turn; the last one again and again."""
        left = list(answers)
        self.routes[path] = lambda asked: left.pop(0) if len(left) > 1 else left[0]

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.partition("?")[0] == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, body)
        self.asked.append(asked)
        route = self.routes.get(handler.path.partition("?")[0])
        said = route(asked) if route else Said(404, {"error": "not_found"})
        if said.write:
            said.write(handler)
            return
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        with contextlib.suppress(OSError):
            handler.send_response_only(said.status)
            usual = {"Content-Type": "application/json", "Date": handler.date_time_string(), "Content-Length": str(len(content))}
            for name, value in {**usual, **said.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)


@contextlib.contextmanager
def foreign(folder: Path, authority: trustme.CA | None = None) -> Iterator[Foreign]:
    server = Foreign(folder, authority)
    try:
        yield server
    finally:
        server.close()


def hang_up(handler: Any) -> None:
    """Ends the connection in the middle of whatever it was."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


PIN_INPUT = {"name": "pin", "kind": "digits", "min": 9, "max": 9, "check": "damm", "label": "PIN"}


def prompt(auth_session: str = "session-1", reason: str = "none", **members: Any) -> Said:
    """The reference dialect's 403."""
    body = {
        "error": "insufficient_authorization",
        "auth_session": auth_session,
        "inputs": [PIN_INPUT],
        "message": "Ask for a PIN for this device",
        "reason": reason,
        "tries_left": 5,
        "retry_after": 0,
        "inputs_expire_in": 600,
        "binding_word": "amber fox",
        "padding": "....",
    }
    return Said(403, body | members)
