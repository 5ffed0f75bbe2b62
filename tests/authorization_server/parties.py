"""Those who speak to the AS in tests: a device behind the bridge, and first-party apps, with keys of their own.

Not the project's own agent or bridge: proofs are signed with PyJWT, so that the AS meets another implementation.
"""

import base64
import hashlib
import itertools
import secrets
import time
from typing import Any
from urllib.parse import quote_plus

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.authorization_server import running

_numbers = itertools.count(1)


def verifier_and_challenge() -> tuple[str, str]:
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class DpopKey:
    """A key that signs proofs. `sign` takes whatever a test wants to be wrong about them."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        canonical = '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' % (self.jwk["x"], self.jwk["y"])
        self.jkt = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()

    def sign(self, url: str, nonce: Any, header: dict[str, Any] | None = None, **changes: Any) -> str:
        claims = {"jti": secrets.token_urlsafe(12), "htm": "POST", "htu": url, "iat": int(time.time()), "nonce": nonce} | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        headers: dict[str, Any] = {"typ": "dpop+jwt", "jwk": {k: self.jwk[k] for k in ("kty", "crv", "x", "y")}} | (header or {})
        return jwt.encode(claims, self._key, algorithm="ES256", headers=headers)


class Party:
    """One client with one DPoP key (or none), which remembers what a device remembers."""

    def __init__(
        self, server: running.Server, client: str = running.BRIDGE, dpop: bool = True, device: str | None = None
    ) -> None:
        self.server = server
        self.client = client
        self.key: Any = DpopKey() if dpop else None  # a DpopKey, or None
        self.device = device or f"lp-{next(_numbers):04d}x"
        self.verifier, self.code_challenge = verifier_and_challenge()
        self.nonce: str | None = None
        self.auth_session = ""

    @property
    def name(self) -> str:
        """The device as the AS names it."""
        return self.device if self.client == running.BRIDGE else f"{self.client}/{self.device}"

    def post(self, endpoint: str, fields: dict[str, str], **options: Any) -> httpx2.Response:
        """One POST, signed again once where the AS wants another nonce. Options replace the usual proof, key, headers."""
        response = self._post_once(endpoint, fields, options)
        if response.status_code == 400 and response.json()["error"] == "use_dpop_nonce" and "proof" not in options:
            response = self._post_once(endpoint, fields, options)
        return response

    def _post_once(self, endpoint: str, fields: dict[str, str], options: dict[str, Any]) -> httpx2.Response:
        headers = dict(options.get("headers", {}))
        if self.client == running.BRIDGE and "Authorization" not in headers:
            headers["Authorization"] = basic(self.client, running.BRIDGE_SECRET)
        key = options.get("key", self.key)
        if "proof" in options:
            headers |= {"DPoP": options["proof"]} if options["proof"] else {}
        elif key:
            headers["DPoP"] = key.sign(f"{self.server.issuer.rstrip('/')}/{endpoint}", self.nonce)
        response = self.server.http.post(f"/{endpoint}", data=fields, headers=headers)
        self.nonce = response.headers["dpop-nonce"]
        return response

    def first_fields(self, **changes: str | None) -> dict[str, str]:
        fields: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client,
            "scope": "led:read",
            "resource": running.RESOURCE,
            "code_challenge": self.code_challenge,
            "code_challenge_method": "S256",
            "device_id": self.device,
        }
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def start(self, **changes: str | None) -> httpx2.Response:
        """The first challenge request, of a fresh verifier after the first time; a prompt is remembered."""
        if self.auth_session:
            self.verifier, self.code_challenge = verifier_and_challenge()
        return self._remember(self.post("challenge", self.first_fields(**changes)))

    def follow(self, auth_session: str | None = None, **fields: str) -> httpx2.Response:
        """A follow-up with the newest auth_session, or with an older one."""
        return self._remember(self.post("challenge", {"auth_session": auth_session or self.auth_session, **fields}))

    def _remember(self, response: httpx2.Response) -> httpx2.Response:
        self.auth_session = response.json().get("auth_session", self.auth_session)
        return response

    def earn_code(self, **changes: str | None) -> str:
        """start, a PIN by the admin call, and the code that it earns."""
        assert self.start(**changes).status_code == 403
        response = self.follow(pin=self.server.issue_pin(self.name))
        assert response.status_code == 200, response.text
        return response.json()["authorization_code"]

    def redeem(self, code: str, **changes: Any) -> httpx2.Response:
        options = {name: changes.pop(name) for name in ("proof", "key", "headers") if name in changes}
        fields = {"grant_type": "authorization_code", "code": code, "code_verifier": self.verifier, "client_id": self.client}
        fields = {name: value for name, value in (fields | changes).items() if value is not None}
        return self.post("token", fields, **options)

    def refresh(self, refresh_token: str, **changes: Any) -> httpx2.Response:
        options = {name: changes.pop(name) for name in ("proof", "key", "headers") if name in changes}
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self.client} | changes
        return self.post("token", fields, **options)

    def earn_tokens(self) -> dict[str, Any]:
        response = self.redeem(self.earn_code())
        assert response.status_code == 200, response.text
        return response.json()


def basic(client_id: str, secret: str) -> str:
    """RFC 6749, section 2.3.1: both halves form-urlencoded."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def wrong_pin(pin: str) -> str:
    """Another PIN, of the same length."""
    return str((int(pin[0]) + 1) % 10) + pin[1:]
