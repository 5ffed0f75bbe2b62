"""A TLS connection to a server that has proved itself by its CA, by a pinned certificate, or both.

Not kept in memory: whoever uses it unloads it when the connection stands.
"""

# The stubs lack what extmod/modtls_mbedtls.c and extmod/asyncio/stream.py have.
# pyright: reportAttributeAccessIssue=false

from latchpin import runtime
from latchpin.adapters.stream import LinkError

if runtime.MICROPYTHON:
    import asyncio
    import binascii
    import socket
    from errno import EINPROGRESS

    import tls

    from latchpin.adapters.stream import pin_check
    from latchpin.runtime import const

    _TOO_YOUNG = const("the certificate is not valid yet, or the clock is behind: a pin would help, it needs no clock")

    def pins(pin: str) -> list[bytes]:
        """The SHA-256 values in `pin`: 64 hex digits each, blanks between several. Raises ValueError."""
        found = [binascii.unhexlify(part) for part in pin.split()]
        for digest in found:
            if len(digest) != 32:
                raise ValueError("pin: 64 hex digits, please")
        return found

    def tls_context(pin: str | None = None, ca: str | None = None):
        """What `open_tls` demands of the server: a leaf certificate with SHA-256 `pin`, a chain to the DER file `ca` and the
        right name, or both. A pin alone works without a clock. Raises ValueError (neither), OSError (no such file)."""
        if not (pin or ca):
            raise ValueError("neither pin nor ca")
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)  # demands a certificate by itself
        if ca:
            require_ca(context, ca)
        else:
            context.verify_mode = tls.CERT_OPTIONAL  # under CERT_NONE the callback is never called
        if pin:
            context.verify_callback = pin_check(pins(pin))
        return context

    def require_ca(context, ca: str):
        """From now on `context` demands the chain, the dates and the name as well: the same context, for room for another is hard
        to find. Where this fails it lets nobody pass. Raises OSError, ValueError."""
        context.verify_mode = tls.CERT_REQUIRED
        with open(ca, "rb") as file:
            context.load_verify_locations(file.read())

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
        except (ValueError, MemoryError) as error:
            text = str(error).strip()
            raise LinkError("tls", _TOO_YOUNG if "future" in text else text)
        except OSError as error:
            if raw is None:
                raise LinkError("dns", "no address for this host name")
            if error.errno == -0x3000:
                raise LinkError("tls", "not the pinned certificate")
            raise LinkError("tcp" if (error.errno or 0) > 0 else "tls", str(error))
        finally:
            if raw:
                if secure:
                    secure.close()
                raw.close()  # a failed handshake has cut the one from the other

else:
    _host = runtime.host_engine.tls()
    pins, tls_context, require_ca, open_tls = _host.pins, _host.tls_context, _host.require_ca, _host.open_tls
