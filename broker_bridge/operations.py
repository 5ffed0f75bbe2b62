"""Health, readiness and numbers, for those who keep the bridge running: /livez, /readyz, /metrics on a loopback listener.

Not for device detail, which stands in the log: no number here has a device's name on it.
"""

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from broker_bridge.configuration import address
from latchpin import __version__

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
TEXT = "text/plain; charset=utf-8"


class Number(NamedTuple):
    """A value that is kept elsewhere and read at each scrape. A name that ends in _total is a counter, any other a gauge."""

    name: str
    value: float
    reason: str | None = None


Numbers = Callable[[], Iterable[Number]]


class Metrics(Collector):
    """What /metrics shows. `op` is what was asked, `outcome` what the device was told, both of closed lists."""

    def __init__(self, numbers: Numbers) -> None:
        disable_created_metrics()
        self._numbers = numbers
        self._registry = registry = CollectorRegistry()
        registry.register(self)
        # `labels` looks a number up under a lock, among the same few each time.
        requests = Counter(
            "latchpin_bridge_requests", "Requests of devices, by what they were told.", ["op", "outcome"], registry=registry
        )
        challenges = Counter(
            "latchpin_bridge_challenge_requests",
            "CHALLENGE alone: start, answer, or a question where it stands (ask).",
            ["op", "outcome"],
            registry=registry,
        )
        took = Histogram(
            "latchpin_bridge_request_duration_seconds",
            "From a request opened to its reply sealed.",
            ["op"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        upstream_took = Histogram(
            "latchpin_bridge_upstream_duration_seconds",
            "An HTTPS request to the authorization server or a resource.",
            ["upstream", "result"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        pins = Counter("latchpin_pin_attempts", "Answers of people, by what came of them.", ["result"], registry=registry)
        self._requests, self._challenges = functools.cache(requests.labels), functools.cache(challenges.labels)
        self._took, self._upstream_took = functools.cache(took.labels), functools.cache(upstream_took.labels)
        self._pins = functools.cache(pins.labels)
        self._lockouts = Counter("latchpin_pin_lockouts", "Answers that met a lock.", registry=registry)
        self._replays = Counter("latchpin_replays_served", "Requests answered from what was said before.", registry=registry)

    def answered(self, op: str, outcome: str, challenge: str | None, seconds: float | None, repeated: bool) -> None:
        """A reply. challenge: start, answer or ask, or None where `op` is another; repeated: nothing was asked for it."""
        if repeated:
            self._replays.inc()
            return
        self._requests(op, outcome).inc()
        if challenge is not None:
            self._challenges(challenge, outcome).inc()
        if challenge == "answer":
            self._pins(outcome).inc()
            if outcome == "locked":
                self._lockouts.inc()
        if seconds is not None:
            self._took(op).observe(seconds)

    @contextlib.contextmanager
    def upstream(self, name: str) -> Iterator[None]:
        """Measures what stands inside; an exception counts as failed."""
        began_s, result = asyncio.get_running_loop().time(), "failed"
        try:
            yield
            result = "answered"
        finally:
            self._upstream_took(name, result).observe(asyncio.get_running_loop().time() - began_s)

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        build = GaugeMetricFamily("latchpin_build_info", "The version that runs.", labels=["version"])
        build.add_metric([__version__], 1)
        for number in self._numbers():
            kind = CounterMetricFamily if number.name.endswith("_total") else GaugeMetricFamily
            if number.name not in families:
                families[number.name] = kind(number.name, "See DEPLOYMENT.md.", labels=["reason"] if number.reason else [])
            family = families[number.name]
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            family.add_metric([number.reason] if number.reason else [], number.value)
        return [build, *families.values()]

    def text(self) -> str:
        return generate_latest(self._registry).decode()


class Operations:
    """Answers GET on `listen` ("127.0.0.1:9700"). `ready` gives "" or the word that says what is missing."""

    def __init__(self, listen: str, ready: Callable[[], str], metrics: Metrics) -> None:
        self._host, self._port = address(listen)
        self._ready = ready
        self._metrics = metrics

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
                status, kind, text = self._text(request[0], request[1] if len(request) > 1 else b"")
                body = text.encode()
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def _text(self, method: bytes, path: bytes) -> tuple[str, str, str]:
        if method != b"GET":
            return "405 Method Not Allowed", TEXT, "GET only\n"
        if path == b"/livez":
            return "200 OK", TEXT, "alive\n"
        if path == b"/readyz":
            missing = self._ready()
            return ("503 Service Unavailable", TEXT, missing + "\n") if missing else ("200 OK", TEXT, "ready\n")
        if path == b"/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, self._metrics.text()
        return "404 Not Found", TEXT, "/livez /readyz /metrics\n"


class ServiceManager:
    """systemd's notification protocol (sd_notify(3)): one datagram a state to $NOTIFY_SOCKET; nothing where that is not set."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        place = os.environ.get("NOTIFY_SOCKET", "")
        if place[:1] in ("/", "@") and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._place = "\0" + place[1:] if place[0] == "@" else place
        usec = os.environ.get("WATCHDOG_USEC", "")
        for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.every_s = int(usec) / 2_000_000 if usec.isascii() and usec.isdigit() and for_us else None

    def tell(self, state: str) -> None:
        """READY=1, STOPPING=1 or WATCHDOG=1. A service manager that does not listen is no reason to stop."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(state.encode(), self._place)
