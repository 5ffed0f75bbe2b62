"""DPoP for httpx2 clients (RFC 9449): `httpx2.AsyncClient(auth=DpopAuth(key, token))` proves its key with every request.

Not the device's own DPoP (device/latchpin/agent/dpop.py): written apart from it, so that the two can disagree.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Generator
from typing import Any

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    x, y = (base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    """RFC 7638: what `cnf.jkt` of a bound token holds."""
    return base64url(hashlib.sha256(compact(public_jwk(key))).digest())


def sign(key: ec.EllipticCurvePrivateKey, header: dict[str, Any], claims: Any) -> str:
    """A compact JWS with ES256."""
    text = base64url(compact(header)) + "." + base64url(compact(claims))
    r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return text + "." + base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def proof(key: ec.EllipticCurvePrivateKey, method: str, url: str, *, token: str = "", **other: Any) -> str:
    """A DPoP proof. `other` replaces claims; a claim that is None is left out."""
    claims: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(time.time())}
    claims |= {"ath": base64url(hashlib.sha256(token.encode()).digest())} if token else {}
    shown = {name: value for name, value in (claims | other).items() if value is not None}
    return sign(key, {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(key)}, shown)


class DpopAuth(httpx2.Auth):
    """Adds `Authorization: DPoP` and a fresh proof to each request; learns nonces and repeats a request once for a new one."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, token: str) -> None:
        self._key, self._token, self.nonce, self.proofs = key, token, "", 0

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        for _ in range(2):
            url = str(request.url.copy_with(query=None, fragment=None))
            request.headers["Authorization"] = f"DPoP {self._token}"
            request.headers["DPoP"] = proof(self._key, request.method, url, token=self._token, nonce=self.nonce or None)
            self.proofs += 1
            response = yield request
            known, self.nonce = self.nonce, response.headers.get("DPoP-Nonce", self.nonce)
            challenge = response.headers.get("WWW-Authenticate", "")
            if response.status_code != 401 or "use_dpop_nonce" not in challenge or self.nonce == known:
                return
