"""C speed on CPython behind the names that `crypto/` and `wire/cbor.py` give: `cryptography` and `cbor2`.

Not for boards: it is left out of package.json, of manifest.py and of the .mpy budget. Both paths face the same vectors and each other.
"""

import hmac as _hmac
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

_P256 = ec.SECP256R1()


def ticks_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def ticks_diff(later: int, earlier: int) -> int:
    return later - earlier


def aes_ecb(key: bytes, blocks: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def aes_cbc(key: bytes, blocks: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()
