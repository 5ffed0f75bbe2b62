"""DPoP proofs (RFC 9449): what a proof must be, and the nonces that stand in for the device's clock.

Not for who must send one: that is the endpoints' business. Verification keeps no state; `accept` remembers the proof.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from host_sim.authorization_server.errors import InvalidDpopProof, UseDpopNonce
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Transaction

ALGORITHMS = ["ES256"]
MAX_PROOF = 4096
_REGISTRY = JWSRegistry(algorithms=ALGORITHMS)


@dataclass(frozen=True)
class Proof:
    """A proof whose signature, type and target are right. `jkt` is the RFC 7638 thumbprint of its key."""

    jkt: str
    jti: str
    nonce: str | None


def verify(text: str, method: str, url: str) -> Proof:
    """The proof in `text` for a `method` request to `url`: checks 2 to 9 of RFC 9449, section 4.3.

    Raises InvalidDpopProof.
    """
    if len(text) > MAX_PROOF:
        raise InvalidDpopProof("The proof is too large.")
    found: list[tuple[ECKey, str]] = []

    def key_of(token) -> ECKey:
        found.append(_public_key(token.headers()))
        return found[0][0]

    try:
        claims = jwt.decode(text, key_of, registry=_REGISTRY).claims
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise InvalidDpopProof("The proof is not a dpop+jwt signed with ES256 by the key in it.") from None
    jti, nonce, iat = claims.get("jti"), claims.get("nonce"), claims.get("iat")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise InvalidDpopProof("The proof has no jti.")
    if type(iat) not in (int, float):
        raise InvalidDpopProof("The proof has no iat.")
    if claims.get("htm") != method:
        raise InvalidDpopProof("The htm of the proof is another method.")
    htu = claims.get("htu")
    if htu != url and not (isinstance(htu, str) and _same_url(htu, url)):
        raise InvalidDpopProof("The htu of the proof is another URL.")
    if nonce is not None and not isinstance(nonce, str):
        raise InvalidDpopProof("The nonce of the proof is no text.")
    return Proof(found[0][1], jti, nonce)


def judged(values: list[str], url: str) -> Proof | InvalidDpopProof | None:
    """The proof of a POST to `url` from its DPoP headers, or what is wrong with it; None without one.

    More than one is wrong too (RFC 9449, section 4.3, check 1).
    """
    if len(values) > 1:
        return InvalidDpopProof("More than one DPoP header.")
    try:
        return verify(values[0], "POST", url) if values else None
    except InvalidDpopProof as error:
        return error


def demand(proof: Proof | None, jkt: str) -> None:
    """Raises InvalidDpopProof unless the proof is there and of this key."""
    if proof is None:
        raise InvalidDpopProof("The DPoP proof is missing.")
    if not hmac.compare_digest(proof.jkt, jkt):
        raise InvalidDpopProof("The DPoP proof is of another key.")


class Nonces:
    """Server nonces (RFC 9449, section 8) without state: a time and its keyed hash, good for `ttl_s`."""

    def __init__(self, keys: Keys, ttl_s: int) -> None:
        self._keys = keys
        self.ttl_s = ttl_s
        self._last = (0, "")
        self._made = lru_cache(maxsize=1024)(self._made_at)  # thousands of requests bring the same one

    def issue(self, now_s: int) -> str:
        if self._last[0] != now_s:
            self._last = now_s, _text(now_s.to_bytes(5, "big") + self._tag(now_s))
        return self._last[1]

    def expires(self, nonce: str, now_s: int) -> int | None:
        """From when on it is good no more; None: it is not good now."""
        issued_s = self._made(nonce)
        return None if issued_s is None or not 0 <= now_s - issued_s <= self.ttl_s else issued_s + self.ttl_s + 1

    def _made_at(self, nonce: str) -> int | None:
        """When this AS made it; None: it did not."""
        try:
            data = urlsafe_b64decode(nonce)
        except (Base64Error, ValueError):
            return None
        issued_s = int.from_bytes(data[:5], "big")
        return issued_s if len(data) == 21 and hmac.compare_digest(data[5:], self._tag(issued_s)) else None

    def _tag(self, issued_s: int) -> bytes:
        return self._keys.keyed_hash("dpop nonce", str(issued_s))[:16]


def accept(proof: Proof, nonces: Nonces, keys: Keys, transaction: Transaction, now_s: int) -> None:
    """Checks 10 and 11 of RFC 9449, section 4.3, and that this proof is new. The nonce is the clock: iat is not compared.

    Raises UseDpopNonce, InvalidDpopProof.
    """
    expires = nonces.expires(proof.nonce, now_s) if proof.nonce is not None else None
    if expires is None:
        raise UseDpopNonce()
    if not transaction.remember_proof(expires, keys.keyed_hash("dpop proof", proof.jkt, proof.jti)):
        raise InvalidDpopProof("The proof was used before.")


def _public_key(header: dict) -> tuple[ECKey, str]:
    jwk = header.get("jwk")
    if header.get("typ") != "dpop+jwt" or not isinstance(jwk, dict) or "d" in jwk:
        raise ValueError("header")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise ValueError("key")
    return _imported(jwk["x"], jwk["y"])


@lru_cache(maxsize=4096)  # a device signs every request with the same key
def _imported(x: str, y: str) -> tuple[ECKey, str]:
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    return key, key.thumbprint()


def _same_url(one: str, other: str) -> bool:
    try:
        return _normal(one) == _normal(other)
    except ValueError:
        return False


def _normal(url: str) -> tuple[str, str, str]:
    # RFC 9449, section 4.3: without query and fragment, after RFC 3986, sections 6.2.2 and 6.2.3.
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.netloc.lower()
    return scheme, host.removesuffix(":443") if scheme == "https" else host, parts.path or "/"


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
