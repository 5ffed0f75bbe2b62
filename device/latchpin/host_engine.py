"""C speed on CPython behind the names that `crypto/` gives: `cryptography`.

Not for boards: it is left out of package.json, of manifest.py and of the .mpy budget. Both paths face the same vectors
and each other. Not for TLS: host_sim/cpython_tls.py. CBOR has no second engine: `cbor2` made strict takes as long as the
decoder of the contract itself.
"""

import asyncio
import contextlib
import hmac as _hmac
import time
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_P256 = ec.SECP256R1()
_ES256 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def ticks_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def ticks_diff(later: int, earlier: int) -> int:
    return later - earlier


def const(value):
    """MicroPython's, which says that a name never changes: here it is only said."""
    return value


def stay() -> None:
    """Nothing, as make_room."""


def make_room(*unneeded: str) -> None:
    """Nothing: here memory is cheap, and a module that somebody imported stays the same."""


def fastest(pure: Callable) -> Callable:
    """What does the same as this function of crypto/, in C."""
    return _ENGINES[pure.__name__]


class aes:  # noqa: N801
    """MicroPython's `cryptolib.aes`, as far as pure Python code here needs it."""

    def __init__(self, key: bytes, mode: int, iv: bytes = b"") -> None:
        how = modes.CBC(iv) if mode == 2 else modes.ECB()  # noqa: S305, the key stream of CCM
        self._encryptor = Cipher(algorithms.AES(key), how).encryptor()

    def encrypt(self, blocks: bytearray, into: bytearray) -> None:
        into[:] = self._encryptor.update(blocks)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return _hmac.digest(key, data, "sha256")


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(hashes.SHA256(), length, info).derive(prk)


def ccm_encrypt(key: bytes, nonce: bytes, text: bytearray, aad: bytes, tag_length: int) -> None:
    size = _ccm_size(text, aad, tag_length)
    text[:] = AESCCM(key, tag_length).encrypt(nonce, bytes(text[:size]), aad)


def ccm_decrypt(key: bytes, nonce: bytes, text: bytearray, aad: bytes, tag_length: int) -> None:
    size = _ccm_size(text, aad, tag_length)
    try:
        text[:size] = AESCCM(key, tag_length).decrypt(nonce, bytes(text), aad)
    except InvalidTag:
        raise ValueError("tag") from None


def _ccm_size(text: bytearray, aad: bytes, tag_length: int) -> int:
    # A plaintext too long for its nonce is an InternalError in cryptography 50; the limits are those of crypto/ccm.py.
    size = len(text) - tag_length
    if size < 0:
        raise ValueError("tag")
    if size > 0xFFFF or len(aad) >= 0xFF00:
        raise ValueError("length")
    return size


def p256_public_key(private: bytes) -> bytes:
    numbers = _private(private).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def p256_ecdh(private: bytes, public: bytes) -> bytes:
    prefix = b"\x04" if len(public) == 64 else b"\x02"
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(_P256, prefix + public)
    except ValueError:
        raise ValueError("p256 public key") from None
    return _private(private).exchange(ec.ECDH(), point)


def p256_sign(private: bytes, message: bytes) -> bytes:
    r, s = utils.decode_dss_signature(_private(private).sign(message, _ES256))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _private(private: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        if len(private) != 32:
            raise ValueError
        return ec.derive_private_key(int.from_bytes(private, "big"), _P256)
    except ValueError:
        raise ValueError("p256 private key") from None


_ENGINES = {
    "pure_hmac_sha256": hmac_sha256,
    "pure_hkdf_expand": hkdf_expand,
    "pure_encrypt": ccm_encrypt,
    "pure_decrypt": ccm_decrypt,
    "pure_public_key": p256_public_key,
    "pure_ecdh": p256_ecdh,
    "pure_sign": p256_sign,
}


def tls():
    """What stands for adapters/tls_stream.py: no part of the device, and imported by whoever opens a connection alone."""
    import host_sim.cpython_tls as cpython_tls

    return cpython_tls


async def read_some(stream, most: int) -> bytes:
    """As adapters/https_post.py says."""
    return await stream.read(most)


async def close_stream(writer: asyncio.StreamWriter) -> None:
    """The counterpart of the one in adapters/stream.py."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), 2)
