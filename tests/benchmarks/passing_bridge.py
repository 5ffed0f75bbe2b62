"""The bridge with its payloads passed through unopened: MQTT in, one HTTPS POST, MQTT out; clients, limits, log and numbers kept.

Not a bridge: it knows no session and no message. What the real one costs more is the price of sealing and checking.
argv: bridge.toml, the replica's name.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

from broker_bridge import life, logs, settings
from broker_bridge.answering import Answering
from broker_bridge.app import App, Arrived
from broker_bridge.https_client import Fetched
from latchpin.wire import bridge_side


class Passed:
    """As answering.Request, of a payload that stays closed."""

    def __init__(self, device: str, payload: bytes, now_s: float) -> None:
        self.device, self.rid, self.began_s, self.way = device, payload[:4].hex(), now_s, _way(payload)
        self.span: object = None
        self.task: asyncio.Task[object] | None = None


def _way(payload: bytes) -> Generator[bytes, Fetched, bytes]:
    return (yield payload).body


class Passing(Answering):
    """Answering, with the steps left out that read or write a payload."""

    def begin(self, request: Any) -> None:
        self.under_way.add(request)
        request.span = self._tracer.begun("challenge", request.rid, request.device)
        self._go_on(request, None)

    def _finish(self, request: Any, told: Any) -> None:
        request.told, request.seconds = told, time.monotonic() - request.began_s
        self._told.add(request)

    def _tell(self, requests: list[Any]) -> None:
        for request in requests:
            self._tracer.answered(request.span, "prompt", None)
            self._metrics.answered("challenge", "prompt", "start", request.seconds, False)
            members = {"rid": request.rid, "device": request.device, "step": "challenge", "outcome": "prompt", "code": None}
            logs.line("request", **members, status=None, ms=round(request.seconds * 1000))
        for request in requests:
            self._publish(request.device, request.told)
        self.under_way.difference_update(requests)
        self._on_room()


class Unopened(App):
    """App for whoever may speak, without what App does to the payload."""

    def __init__(self, configured: settings.Settings, announce: Callable[[str], None]) -> None:
        super().__init__(configured, announce)
        ways = (self._fetch, self._nonce, self._publish, self._devices.farewell)
        self._answering = Passing(self._world, *ways, self._metrics, self._tracer, self._admit)

    def _take(self, frames: list[Arrived]) -> None:
        now_s = time.monotonic()
        for who, frame in [(self._devices.who(frame.topic), frame) for frame in frames]:
            if who is not None:
                self._answering.begin(Passed(who.device, frame.payload, now_s))
        self._unadmitted.extend(frame.admit for frame in frames)
        self._admit()

    def _fetch(self, wanted: Any, request_id: str) -> tuple[str, Coroutine[Any, Any, Any]]:
        client = self._as_client
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        client._authentication.add({}, headers)
        url, names = self._settings.authorization_server.issuer + "/pass", ("dpop-nonce", "retry-after")
        return "authorization_server", client._fetch("POST", url, headers, wanted, names, request_id, False)


if __name__ == "__main__":
    configured = settings.load(Path(sys.argv[1]))
    at_broker = configured.broker.model_copy(update={"username": "bridge-pass"})
    changes = {"broker": at_broker, "replica": sys.argv[2], "operations": settings.Operations()}
    logs.start("info")
    bridge = Unopened(configured.model_copy(update=changes), life.ready)
    bridge._broker.unsubscribe(bridge_side.SHARED_HELLO)
    life.collect_seldom()
    with asyncio.Runner(loop_factory=life.loop_factory()) as runner:
        runner.run(bridge.run())
