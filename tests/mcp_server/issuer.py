"""A small authorization server's public face for tests: metadata and keys over real HTTPS, and tokens signed by hand.

Not the reference AS (host_sim/authorization_server): here a test can spoil each part of a token by itself.
"""

import json
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trustme
from cryptography.hazmat.primitives.asymmetric import ec

from host_sim import issuer as issuer_of
from tests.peers.dpop_auth import public_jwk, sign, thumbprint


def asked(issuer: "Issuer") -> issuer_of.Issuer:
    """It as a resource server reaches it."""
    return issuer_of.Issuer(issuer.url, str(issuer.ca))


class Issuer:
    """Keys, tokens and an HTTPS server on a free port. `fetched` counts requests by path; `broken` makes it answer 500.

    `verdict` is what it answers to every introspection; `asked_with` has the forms that came, behind their credentials.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.keys = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.fetched: dict[str, int] = {}
        self.broken = False
        self.metadata: dict[str, Any] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.verdict: Any = {"active": True}
        self.asked_with: list[tuple[str, dict[str, str]]] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(issuer.document(self.path))

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.asked_with.append((self.headers["Authorization"], dict(parse_qsl(form))))
                self.answer(issuer.verdict)

            def answer(self, document: Any) -> None:
                issuer.fetched[self.path] = issuer.fetched.get(self.path, 0) + 1
                self.send_response(500 if issuer.broken else 200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def document(self, path: str) -> dict[str, Any] | None:
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/oauth-authorization-server":
            return self._endpoints() | self.metadata
        if path == "/jwks.json":
            return {"keys": [{**public_jwk(key), "kid": kid, "use": "sig", "alg": "ES256"} for kid, key in self.keys.items()]}
        return None

    def _endpoints(self) -> dict[str, str]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks.json", "introspection_endpoint": f"{self.url}/introspect"}

    def token(
        self,
        device_key: ec.EllipticCurvePrivateKey | None,
        resource: str,
        *,
        kid: str = "one",
        header: dict[str, Any] | None = None,
        signer: ec.EllipticCurvePrivateKey | None = None,
        **other: Any,
    ) -> str:
        """An RFC 9068 token as the reference AS makes them. `other` replaces claims; a claim that is None is left out."""
        now_s = int(time.time())
        claims: dict[str, Any] = {"iss": self.url, "aud": resource, "sub": "alice", "client_id": "latchpin-device"}
        claims |= {"iat": now_s, "exp": now_s + 300, "jti": secrets.token_hex(8), "scope": "led:read led:write"}
        claims |= {"device_id": "lp-7f3k2m"} | ({"cnf": {"jkt": thumbprint(device_key)}} if device_key else {})
        shown = {name: value for name, value in (claims | other).items() if value is not None}
        return sign(signer or self.keys[kid], {"typ": "at+jwt", "alg": "ES256", "kid": kid} | (header or {}), shown)
