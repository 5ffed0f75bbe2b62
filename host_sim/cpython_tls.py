"""TLS for a device that runs on CPython, which has no `tls`: the counterpart of latchpin/adapters/tls_stream.py.

Not for boards, and for nothing else of this house: only tls_stream.py takes it, by host_engine.py.
"""

import asyncio
import hashlib
import socket
import ssl

from latchpin.adapters.stream import LinkError

_TOO_YOUNG = "the certificate is not valid yet, or the clock is behind: a pin would help, it needs no clock"


def pins(pin: str) -> list[bytes]:
    """The counterpart of the one in latchpin/adapters/tls_stream.py."""
    found = [bytes.fromhex(part) for part in pin.split()]
    if any(len(digest) != 32 for digest in found):
        raise ValueError("pin: 64 hex digits, please")
    return found


def tls_context(pin: str | None = None, ca: str | None = None) -> tuple[ssl.SSLContext, list[bytes]]:
    """The counterpart of the one in latchpin/adapters/tls_stream.py; what it returns is for `open_tls` alone."""
    if not (pin or ca):
        raise ValueError("neither pin nor ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made = context, pins(pin) if pin else []
    if ca:
        require_ca(made, ca)
    else:
        # Not unverified: open_tls compares the leaf with the pin before it writes a byte.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return made


def require_ca(made: tuple[ssl.SSLContext, list[bytes]], ca: str) -> None:
    """The counterpart of the one in latchpin/adapters/tls_stream.py."""
    context = made[0]
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    with open(ca, "rb") as file:
        context.load_verify_locations(cadata=file.read())


async def open_tls(host: str, port: int, server_name: str, context, first: bytes, timeout_s: int):
    """The counterpart of the one in latchpin/adapters/tls_stream.py."""
    context, wanted = context
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(host, port, ssl=context, server_hostname=server_name, ssl_shutdown_timeout=2), timeout_s
        )
    except TimeoutError:
        raise LinkError("timeout", f"no connection within {timeout_s} s") from None
    except ssl.SSLError as error:
        text = getattr(error, "verify_message", "") or error.reason or "handshake"
        raise LinkError("tls", _TOO_YOUNG if "not yet valid" in text else text) from None
    except socket.gaierror:
        raise LinkError("dns", "no address for this host name") from None
    except ConnectionResetError:
        raise LinkError("tls", "closed during the handshake") from None
    except OSError as error:
        raise LinkError("tcp", error.strerror or "no connection") from None
    leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if wanted and (leaf is None or hashlib.sha256(leaf).digest() not in wanted):
        writer.transport.abort()
        raise LinkError("tls", "not the pinned certificate")
    writer.write(first)
    await writer.drain()
    return reader, writer
