"""Compact JWS signed with ES256 (RFC 7515, section 7.1; RFC 7518, section 3.4), and nothing else of JOSE.

Not for what a header or a claim means. joserfc, which reads and writes the same, spends half as much again around a signature.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_PART = re.compile(r"[A-Za-z0-9_-]+")
_ALGORITHM = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class Unverified:
    """A compact JWS, read; who signed it is not known yet."""

    header: dict[str, Any]
    payload: dict[str, Any]
    _signed: bytes
    _signature: bytes

    def verify(self, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
        """The payload. Raises ValueError: it was not signed by this key."""
        r, s = int.from_bytes(self._signature[:32]), int.from_bytes(self._signature[32:])
        try:
            key.verify(encode_dss_signature(r, s), self._signed, _ALGORITHM)
        except InvalidSignature:
            raise ValueError("signature") from None
        return self.payload


def read(text: str) -> Unverified:
    """Raises ValueError, RecursionError: not two JSON objects and a signature by ES256."""
    parts = text.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError("not a compact JWS")
    header, payload = (json.loads(_decoded(part)) for part in parts[:2])
    signature = _decoded(parts[2])
    if not isinstance(header, dict) or not isinstance(payload, dict) or len(signature) != 64:
        raise ValueError("not objects, or no signature of ES256")
    if header.get("alg") != "ES256" or "crit" in header:  # RFC 7515, section 4.1.11: what must be understood, and is not
        raise ValueError("another algorithm, or an extension")
    return Unverified(header, payload, text[: text.rindex(".")].encode(), signature)


def sign(header: dict[str, Any], payload: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """The compact JWS; `alg` is added to the header."""
    text = _encoded(_json({"alg": "ES256", **header})) + "." + _encoded(_json(payload))
    r, s = decode_dss_signature(key.sign(text.encode(), _ALGORITHM))
    return text + "." + _encoded(r.to_bytes(32) + s.to_bytes(32))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
