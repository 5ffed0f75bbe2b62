"""One HTTPS POST as HTTP/1.0, so that nothing comes back in chunks (RFC 1945): the device's own way to an MCP server.

Not an HTTP client: no redirects, no cookies, no proxies, no second request on a connection.
"""

import asyncio

from latchpin import runtime
from latchpin.adapters import tls_stream
from latchpin.adapters.stream import LinkError, close_stream
from latchpin.runtime import const

MAX_BODY = 65_536
_PIECE = const(1_024)
_LONGER = const("the answer is longer than this device takes")
_MAX_HEAD = const(4_096)
_KEPT = ("content-type", "dpop-nonce", "mcp-session-id", "retry-after", "www-authenticate")


async def post(url: str, headers: str, body: bytes, proof: dict, hear, context=None, timeout_s: int = 30) -> None:
    """The answer goes to `await hear(status, headers, piece, last)`, piece by piece as it comes, and is not kept.

    url: https://host[:port]/path; headers: whole lines, each with its CR LF; proof: {"ca"?, "pin"?, "server_name"?} as in
    settings.json; context: made of that proof already (adapters/tls_stream.py); What is heard:
    headers: {"dpop-nonce": ...} and the few others that matter, lower-case; pieces of at most 1,024 bytes, 65,536 in all.
    Raises LinkError: "dns", "tcp", "tls", "timeout", "closed", "protocol" (also: a longer answer), "refused" (not https).
    """
    host, port, path = _split(url)
    try:
        context = context or tls_stream.tls_context(proof.get("pin"), proof.get("ca"))
    except (OSError, ValueError, MemoryError):
        raise LinkError("tls", "pin or ca file of the MCP server cannot be used, or no memory")
    if headers and (not headers.endswith("\r\n") or "\r\n\r\n" in headers or headers[0] == "\r"):
        raise LinkError("refused", "the header lines do not end where they should")
    first = bytearray(
        ("POST " + path + " HTTP/1.0\r\nHost: " + (host if port == 443 else host + ":" + str(port)) + "\r\n").encode()
    )
    first.extend(headers.encode())
    first.extend(("Content-Length: %d\r\n\r\n" % len(body)).encode() + body)
    reader, writer = await tls_stream.open_tls(host, port, proof.get("server_name") or host, context, first, timeout_s)
    try:
        await asyncio.wait_for(_answer(reader, hear), timeout_s)
    except asyncio.TimeoutError:
        raise LinkError("timeout", "no whole answer in time")
    except EOFError:
        raise LinkError("closed", "the answer ends early")
    except (LookupError, ValueError, MemoryError):
        raise LinkError("protocol", "no HTTP answer that can be read")
    except LinkError:
        raise
    except OSError:
        raise LinkError("closed", "the connection broke")
    finally:
        await close_stream(writer)


def _split(url):
    if not url.startswith("https://"):
        raise LinkError("refused", "the address is not https")
    host, slash, path = url[8:].partition("/")
    port = 443
    if ":" in host:
        host, _, text = host.rpartition(":")
        if not text.isdigit():
            raise LinkError("refused", "the port is no number")
        port = int(text)
    if not host or "@" in host or "[" in host or min(url) <= " ":
        raise LinkError("refused", "no host name in the address, or a blank")
    return host, port, slash + path.split("#")[0] if slash else "/"


async def _answer(reader, hear):
    status, headers, left = await _head(reader)
    taken = 0
    while True:
        # Without a length: one byte more than there may be, so that a longer answer is noticed.
        most = min(_PIECE, MAX_BODY + 1 - taken if left is None else left - taken)
        piece = await _some(reader, most) if most else b""
        taken += len(piece)
        if taken > MAX_BODY:
            raise LinkError("protocol", _LONGER)
        last = not piece if left is None else taken == left
        if not (piece or last):
            raise EOFError
        await hear(status, headers, piece, last)
        if last:
            return


async def _head(reader):
    # (status, headers, bytes of the body, or None: until the end)
    status = (await _line(reader, _MAX_HEAD)).split(" ")
    if not status[0].startswith("HTTP/1."):
        raise ValueError
    headers = {}
    length = None
    left = _MAX_HEAD
    while True:
        line = await _line(reader, left)
        if not line:
            break
        left -= len(line) + 2
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name == "transfer-encoding":
            raise ValueError
        if name == "content-length":
            length = int(value)
            if length < 0:
                raise ValueError
        elif name in _KEPT:
            headers[name] = value.strip()
    if length is not None and length > MAX_BODY:
        raise LinkError("protocol", _LONGER)
    return int(status[1]), headers, length


async def _line(reader, most):
    line = await reader.readline()
    if len(line) > most:
        raise ValueError
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode().rstrip("\r\n")


if runtime.host_engine:
    _some = runtime.host_engine.read_some
else:

    async def _some(reader, most):
        # At most so many bytes, as soon as there are some; none at the end. Not beyond a line's end: MicroPython's `read`
        # swallows an end of the connection (close_notify) that comes with the last bytes, and its next `read` waits for ever.
        try:
            first = await reader.readexactly(1)
        except EOFError:
            return b""
        # What has come already; None where that was all.
        return first if most == 1 or first == b"\n" else first + (reader.s.readline(most - 1) or b"")
