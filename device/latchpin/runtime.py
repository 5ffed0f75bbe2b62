"""Which Python this is, and the few primitives that the two do not spell alike.

Not a place for logic: the protocol above must not be able to tell on which side of this file it runs.
"""

import hashlib
import os
import sys
import time

MICROPYTHON = sys.implementation.name == "micropython"

random_bytes = os.urandom


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data` (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


if MICROPYTHON:
    import cryptolib

    host_engine = None
    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff

    def aes_ecb(key: bytes, blocks: bytes) -> bytes:
        """AES in ECB mode over whole 16-byte blocks (FIPS 197)."""
        return cryptolib.aes(key, 1).encrypt(blocks)

    def aes_cbc(key: bytes, blocks: bytes) -> bytes:
        """AES in CBC mode with a zero IV: what CBC-MAC needs (RFC 3610, section 2.2)."""
        return cryptolib.aes(key, 2, bytes(16)).encrypt(blocks)

else:
    from latchpin import host_engine
    from latchpin.host_engine import aes_cbc, aes_ecb, ticks_diff, ticks_ms

__all__ = ("MICROPYTHON", "aes_cbc", "aes_ecb", "host_engine", "random_bytes", "sha256", "ticks_diff", "ticks_ms")
