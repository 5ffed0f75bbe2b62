"""One HTTPS POST as HTTP/1.0, so that nothing comes back in chunks (RFC 1945): the device's own way to an MCP server.

Not an HTTP client: no redirects, no cookies, no proxies, no second request on a connection.
"""

import asyncio

from latchpin.adapters import tls_stream
from latchpin.adapters.stream import LinkError, close_stream
from latchpin.runtime import const

MAX_BODY = 65_536
_MAX_HEAD = const(4_096)
_KEPT = ("content-type", "dpop-nonce", "mcp-session-id", "retry-after", "www-authenticate")


async def post(
    url: str, headers: str, body: bytes, proof: dict, context=None, max_body: int = 8_192, timeout_s: int = 15
) -> tuple:
    """(status, headers, body) of the answer; its headers: {"dpop-nonce": ...} and the few others that matter, lower-case.

    url: https://host[:port]/path; headers: whole lines, each with its CR LF; proof: {"ca"?, "pin"?, "server_name"?} as in
    settings.json; context: made of that proof already (adapters/tls_stream.py); max_body: at most 65,536 bytes.
    Raises LinkError: "dns", "tcp", "tls", "timeout", "closed", "protocol" (also: an answer over max_body), "refused" (not https).
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
        return await asyncio.wait_for(_answer(reader, min(max_body, MAX_BODY)), timeout_s)
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


async def _answer(reader, max_body):
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
    if length is not None and length > max_body:
        raise LinkError("protocol", "the answer is longer than this device takes")
    if length is not None:
        return int(status[1]), headers, await reader.readexactly(length)
    # By lines, as an event stream has them: MicroPython's `read` swallows an end (close_notify) that comes with the last bytes.
    body = b""
    while True:
        part = await reader.readline()
        if not part:
            return int(status[1]), headers, body
        body += part
        if len(body) > max_body:
            raise LinkError("protocol", "the answer is longer than this device takes")


async def _line(reader, most):
    line = await reader.readline()
    if len(line) > most:
        raise ValueError
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode().rstrip("\r\n")
