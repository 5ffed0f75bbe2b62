"""Health, readiness and numbers, for those who keep the bridge running: /livez, /readyz, /metrics on a loopback listener.

Not for device detail, which stands in the log: no number here has a device's name on it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from broker_bridge.configuration import address

Numbers = Callable[[], Mapping[str, float]]
PREFIX = "latchpin_bridge_"


def metrics(numbers: Mapping[str, float]) -> str:
    """Prometheus text (exposition format 0.0.4). A name that ends in _total is a counter, any other a gauge."""
    lines: list[str] = []
    told: set[str] = set()
    for name, value in sorted(numbers.items()):
        family = name.partition("{")[0]
        if family not in told:
            told.add(family)
            lines.append(f"# TYPE {PREFIX}{family} {'counter' if family.endswith('_total') else 'gauge'}")
        lines.append(f"{PREFIX}{name} {value:g}")
    return "\n".join(lines) + "\n"


class Operations:
    """Answers GET on `listen` ("127.0.0.1:9700"). `ready` gives "" or the word that says what is missing."""

    def __init__(self, listen: str, ready: Callable[[], str], numbers: Numbers) -> None:
        self._host, self._port = address(listen)
        self._ready = ready
        self._numbers = numbers

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._answer, self._host, self._port, limit=4096)
        try:
            yield server
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(5):
                request = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].split(b" ")
                status, text = self._text(request[0], request[1] if len(request) > 1 else b"")
                body = text.encode()
                kind = "text/plain; version=0.0.4; charset=utf-8"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def _text(self, method: bytes, path: bytes) -> tuple[str, str]:
        if method != b"GET":
            return "405 Method Not Allowed", "GET only\n"
        if path == b"/livez":
            return "200 OK", "alive\n"
        if path == b"/readyz":
            missing = self._ready()
            return ("503 Service Unavailable", missing + "\n") if missing else ("200 OK", "ready\n")
        if path == b"/metrics":
            return "200 OK", metrics(self._numbers())
        return "404 Not Found", "/livez /readyz /metrics\n"
