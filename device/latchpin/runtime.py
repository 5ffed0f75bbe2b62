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
    import asyncio
    import binascii
    import socket
    from errno import EINPROGRESS

    import cryptolib
    import tls
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

    def pins(pin: str) -> list[bytes]:
        """The SHA-256 values in `pin`: 64 hex digits each, blanks between several. Raises ValueError."""
        found = [binascii.unhexlify(part) for part in pin.split()]
        for digest in found:
            if len(digest) != 32:
                raise ValueError("pin: 64 hex digits, please")
        return found

    def unload(package: str, module: str):
        """Forget a module that is needed seldom; the next import brings it back. Frozen code costs nothing either way."""
        if sys.modules.pop(package + "." + module, None):
            delattr(sys.modules[package], module)

    def tls_context(pin: str | None = None, ca: str | None = None):
        """What `open_tls` demands of the server: a leaf certificate with SHA-256 `pin`, a chain to the DER file `ca` and the
        right name, or both. A pin alone works without a clock. Raises ValueError (neither), OSError (no such file)."""
        if not (pin or ca):
            raise ValueError("neither pin nor ca")
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)  # demands a certificate by itself
        if ca:
            with open(ca, "rb") as file:
                context.load_verify_locations(file.read())
        else:
            context.verify_mode = tls.CERT_OPTIONAL  # under CERT_NONE the callback is never called
        if pin:
            wanted = pins(pin)

            def verify(certificate, depth):
                # Only a negative number ends the handshake: a positive one counts as bytes written (extmod/modtls_mbedtls.c).
                return 0 if depth or sha256(certificate) in wanted else -0x3000

            context.verify_callback = verify
        return context

    async def open_tls(host: str, port: int, server_name: str, context, first: bytes, timeout_s: int):
        """(reader, writer) of a connection to a server that has proved itself; `first` is what goes out first, and nothing
        goes out before the proof. context: from `tls_context`. Raises LinkError."""
        raw = secure = None
        try:
            # Blocks: MicroPython has no other.
            address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
            raw = socket.socket(address[0], address[1], address[2])
            raw.setblocking(False)
            raw.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
            try:
                raw.connect(address[-1])
            except OSError as error:
                if error.errno != EINPROGRESS:
                    raise
            secure = context.wrap_socket(raw, server_hostname=server_name, do_handshake_on_connect=False)
            stream = asyncio.StreamWriter(secure)
            # The handshake happens inside the first write, and that has to wait for the connection: `write` would not.
            stream.out_buf = first
            await asyncio.wait_for(stream.drain(), timeout_s)
            raw = None
            return stream, stream
        except asyncio.TimeoutError:
            raise LinkError("timeout", "no connection within " + str(timeout_s) + " s")
        except ValueError as error:
            raise LinkError("tls", str(error).strip())
        except OSError as error:
            if raw is None:
                raise LinkError("dns", "no address for this host name")
            if error.errno == -0x3000:
                raise LinkError("tls", "not the pinned certificate")
            raise LinkError("tcp" if error.errno > 0 else "tls", str(error))
        finally:
            if raw:
                if secure:
                    secure.close()
                raw.close()  # a failed handshake has cut the one from the other

    async def close_stream(writer) -> None:
        """Close what `open_tls` opened, whatever state it is in."""
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
        open_tls,
        pins,
        ticks_diff,
        ticks_ms,
        tls_context,
        unload,
    )
