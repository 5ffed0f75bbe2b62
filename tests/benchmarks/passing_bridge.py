"""The bridge with its payloads passed through unopened: MQTT in, one HTTPS POST, MQTT out, with clients, limits, log, numbers.

Not a bridge: it knows no session and no message. What the real one costs more is the price of sealing and checking.
argv: bridge.toml, the replica's name.
"""

import asyncio
import sys
import time
from pathlib import Path

from broker_bridge import life, logs, settings
from broker_bridge.app import FRAME_EXPIRY_S, App, Arrived
from broker_bridge.devices import down
from latchpin.wire import bridge_side


class Unopened(App):
    """App's way for a CHALLENGE of whoever may speak, without what App does to the payload."""

    def _take(self, frames: list[Arrived]) -> None:
        for frame in frames:
            who = self._devices.who(frame.topic)
            if who is not None:
                rid = frame.payload[:4].hex()
                self._start("challenge", rid, who.device, self._carry(who.device, frame.payload, rid))
        self._unadmitted.extend(frame.admit for frame in frames)
        self._admit()

    async def _carry(self, device: str, payload: bytes, rid: str) -> None:
        began_s = time.monotonic()
        with self._metrics.upstream("authorization_server"):
            body = await self._tracer.upstream("authorization_server", self._pass(payload, rid))
        seconds = time.monotonic() - began_s
        self._tracer.answered("prompt", None)
        self._metrics.answered("challenge", "prompt", "start", seconds, False)
        members = {"rid": rid, "device": device, "step": "challenge", "outcome": "prompt", "code": None}
        logs.line("request", **members, status=None, ms=round(seconds * 1000))
        self._broker.publish(down(device), body, FRAME_EXPIRY_S)

    async def _pass(self, payload: bytes, rid: str) -> bytes:
        client = self._as_client
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        client._authentication.add({}, headers)
        url, wanted = self._settings.authorization_server.issuer + "/pass", ("dpop-nonce", "retry-after")
        return (await client._fetch("POST", url, headers, payload, wanted, rid, False)).body


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
