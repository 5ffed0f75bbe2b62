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

    # aes(key, 1) is ECB, aes(key, 2, iv) is CBC: `encrypt(blocks, blocks)` works in place and goes on where the last call ended.
    from cryptolib import aes  # noqa: F401
    from micropython import const  # noqa: F401  (mpy-cross puts the value where the name stood)

    # Left to itself the collector comes when the heap is full of garbage, and what was made meanwhile to stay lies scattered over
    # all of it: then there is room, but not in one piece.
    gc.threshold(gc.mem_free() // 24)

    host_engine = None
    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff

    def fastest(pure):
        """The engine for a function of crypto/: here itself, on CPython C."""
        return pure

    _resident = []

    def stay():
        """What has been imported by now stays in memory. What is imported later leaves it when room is needed."""
        _resident.extend(sys.modules)

    def make_room(*unneeded: str):
        """Collect garbage, for what comes next in a small heap, and forget the modules named (without "latchpin.").

        Most of such a heap is code, and no phase of a pairing needs all of it. Whoever needs a module seldom imports it inside
        a function and keeps nothing that was made by it. Where more than half of the heap is in use, all modules leave that
        came after `stay`; the next import brings one back from flash.
        """
        gc.collect()
        short = _resident and gc.mem_alloc() > gc.mem_free()
        for name in list(sys.modules):
            package, _, module = name.rpartition(".")
            if package[:9] == "latchpin." and (name[9:] in unneeded or (short and name not in _resident)):
                del sys.modules[name]
                delattr(sys.modules[package], module)
        gc.collect()

else:
    from latchpin import host_engine  # noqa: F401
    from latchpin.host_engine import aes, const, fastest, make_room, stay, ticks_diff, ticks_ms  # noqa: F401
