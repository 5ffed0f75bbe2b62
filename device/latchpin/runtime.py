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
    import gc

    import cryptolib
    from micropython import const  # noqa: F401  (mpy-cross puts the value where the name stood)

    # Left to itself the collector comes when the heap is full of garbage, and what was made meanwhile to stay lies scattered over
    # all of it: then there is room, but not in one piece.
    gc.threshold(gc.mem_free() // 24)

    host_engine = None
    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff

    def aes_ecb(key: bytes, blocks: bytearray):
        """AES in ECB mode over whole 16-byte blocks (FIPS 197), in place. Raises ValueError: a key of another length."""
        cryptolib.aes(key, 1).encrypt(blocks, blocks)

    def aes_cbc(key: bytes, blocks: bytearray):
        """AES in CBC mode with a zero IV, in place: what CBC-MAC needs (RFC 3610, section 2.2)."""
        cryptolib.aes(key, 2, bytes(16)).encrypt(blocks, blocks)

    def make_room(*unneeded: str):
        """Forget the modules named (without "latchpin."), and collect garbage: for what comes next in a small heap.

        Most of such a heap is code, and no phase of a pairing needs all of it. Whoever needs a module seldom imports it inside
        a function, and names it here when nothing made by it is left; the next import brings it back from flash.
        """
        for name in unneeded:
            name = "latchpin." + name
            if sys.modules.pop(name, None):
                package, _, module = name.rpartition(".")
                delattr(sys.modules[package], module)
        gc.collect()

else:
    from latchpin import host_engine  # noqa: F401
    from latchpin.host_engine import aes_cbc, aes_ecb, const, make_room, ticks_diff, ticks_ms  # noqa: F401
