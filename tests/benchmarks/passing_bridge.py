"""The bridge with its payloads passed through unopened: MQTT in, one HTTPS POST, MQTT out, with its clients, log and numbers.

Not a bridge: it knows no device, no session and no message. What the real one costs more is the price of sealing and checking.
argv: bridge.toml, the replica's name.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from broker_bridge import life, logs, settings
from broker_bridge.app import FRAME_EXPIRY_S, App
from latchpin.wire import bridge_side


class Unopened(App):
    """What App does for a CHALLENGE, without what it does to the payload."""

    def _take(self, topic: str, payload: bytes, admit: Callable[[], None]) -> None:
        task = asyncio.ensure_future(self._carry(topic.split("/")[2], payload))
        self._running.add(task)
        task.add_done_callback(self._walked)
        admit()

    async def _carry(self, device: str, payload: bytes) -> None:
        client, request_id = self._as_client, payload[:4].hex()
        began_s = time.monotonic()
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        client._authentication.add({}, headers)
        url, wanted = self._settings.authorization_server.issuer + "/pass", ("dpop-nonce", "retry-after")
        with self._metrics.upstream("authorization_server"):
            fetched = await client._fetch("POST", url, headers, payload, wanted, request_id, False)
        took_s = time.monotonic() - began_s
        self._metrics.answered("challenge", "prompt", "start", took_s, False)
        logs.line("request", rid=request_id, device=device, step="challenge", outcome="prompt", ms=round(took_s * 1000))
        self._broker.publish(bridge_side.down(device), fetched.body, FRAME_EXPIRY_S)


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
