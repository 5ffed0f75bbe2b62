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
    from micropython import const  # noqa: F401  (mpy-cross puts the value where the name stood)

    host_engine = None
    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff

    def aes_ecb(key: bytes, blocks: bytearray):
        """AES in ECB mode over whole 16-byte blocks (FIPS 197), in place. Raises ValueError: a key of another length."""
        cryptolib.aes(key, 1).encrypt(blocks, blocks)

    def aes_cbc(key: bytes, blocks: bytearray):
        """AES in CBC mode with a zero IV, in place: what CBC-MAC needs (RFC 3610, section 2.2)."""
        cryptolib.aes(key, 2, bytes(16)).encrypt(blocks, blocks)

    class LinkError(OSError):
        """There is no connection, or it is no more.

        code: "dns", "tcp", "tls", "refused", "timeout", "closed" or "protocol", and no other; text: for a log, quotes nothing
        that came over the network; reason: the MQTT 5 reason code where the broker gave one, else None.
        """

        def __init__(self, code: str, text: str, reason: int | None = None):
            super().__init__(code, text)
            self.code = code
            self.text = text
            self.reason = reason

        def __str__(self):
            return self.code + ": " + self.text + ("" if self.reason is None else " (0x%02x)" % self.reason)

    def unload(package: str, module: str):
        """Forget a module that is needed seldom; the next import brings it back. Frozen code costs nothing either way."""
        if sys.modules.pop(package + "." + module, None):
            delattr(sys.modules[package], module)

    def pin_check(wanted: list[bytes]):
        """A verify_callback that lets only those leaf certificates pass (SHA-256). It stands here because a context keeps it,
        and with it whatever stands in the same file."""

        def verify(certificate, depth):
            # Only a negative number ends the handshake: a positive one counts as bytes written (extmod/modtls_mbedtls.c).
            return 0 if depth or sha256(certificate) in wanted else -0x3000

        return verify

    async def close_stream(writer) -> None:
        """Close what adapters/tls_stream.py opened, whatever state it is in."""
        try:
            await writer.wait_closed()  # closes, and does not wait
        except OSError:
            pass

else:
    from latchpin import host_engine  # noqa: F401
    from latchpin.host_engine import (  # noqa: F401
        LinkError,
        aes_cbc,
        aes_ecb,
        close_stream,
        const,
        ticks_diff,
        ticks_ms,
        unload,
    )
