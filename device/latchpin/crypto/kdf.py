"""HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869).

Not a password hash, and not a key schedule: what is derived from what stands in wire/edhoc.py and wire/session.py.
"""

from latchpin import runtime

_IPAD = int.from_bytes(b"\x36" * 64, "big")
_OPAD = int.from_bytes(b"\x5c" * 64, "big")


def pure_hmac_sha256(key: bytes, data: bytes) -> bytes:
    """The 32-byte MAC of `data` under a key of any length."""
    if len(key) > 64:
        key = runtime.sha256(key)
    block = int.from_bytes(key + bytes(64 - len(key)), "big")
    inner = runtime.sha256((block ^ _IPAD).to_bytes(64, "big") + data)
    return runtime.sha256((block ^ _OPAD).to_bytes(64, "big") + inner)


def pure_hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes as in RFC 5869, section 2.3.

    Raises ValueError: more than 255 * 32 bytes.
    """
    if length > 255 * 32:
        raise ValueError("hkdf length")
    okm = block = b""
    while len(okm) < length:
        block = pure_hmac_sha256(prk, block + info + bytes([len(okm) // 32 + 1]))
        okm += block
    return okm[:length]


hmac_sha256 = runtime.fastest(pure_hmac_sha256)
hkdf_extract = hmac_sha256  # RFC 5869, section 2.2: of a salt and input keying material
hkdf_expand = runtime.fastest(pure_hkdf_expand)
