"""What ten thousand live sessions in one replica cost: kilobytes each, and handshakes a second while they are opened.

Not the broker's part: all devices speak over one connection, as a user whom its access list lets speak for everybody.
"""

import asyncio
import gc
import http.client
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from broker_bridge.exchange import World
from broker_bridge.profile import load
from broker_bridge.translate import Told
from host_sim.broker import loop_factory
from latchpin.wire import topics
from latchpin.wire.messages import Message
from tests.benchmarks import report
from tests.benchmarks.load import Link
from tests.benchmarks.place import PASSWORD, Place, broker_here, on_core
from tests.bridge.driver import Identity, Talk, message
from tests.bridge.test_devices import House

WARM, AT_ONCE = 500, 64
SESSIONS, WEIGHED = 10_000, range(50)
WITHIN_S = 300
AT_MOST_KB = 4


def run(quick: bool) -> dict[str, Any]:
    """Prints the table and returns its figures."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner, tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        return runner.run(_measure(Path(folder), broker_here(), 1000 if quick else SESSIONS))


async def _measure(folder: Path, broker: str, sessions: int) -> dict[str, Any]:
    async with Place(folder, broker, devices=0, enrolled=WARM + sessions) as place:
        with on_core(place.cores[1]):
            crowd = Crowd(await place.link("crowd", PASSWORD, ["latchpin/1/+/down"]))
            await crowd.open(place.identities[:WARM])
            before_kb, before_us, began = place.resident_kb("bridge-1"), place.spent_us(["bridge-1"]), time.monotonic()
            await crowd.open(place.identities[WARM:])
            took = time.monotonic() - began
            used_us = place.spent_us(["bridge-1"])["bridge-1"] - before_us["bridge-1"]
        after_kb, live = place.resident_kb("bridge-1"), _live(place.operations_port)
        assert live == WARM + sessions, f"{live} sessions live"
        each_kb = (after_kb - before_kb) / sessions
    figures = {
        "sessions": sessions,
        "kb_each": round(each_kb, 2),
        "kb_of_objects": round(_objects(folder) / 1024, 2),
        "resident_mb": round(after_kb / 1024, 1),
        "opened_per_s": round(sessions / took),
        "cpu_us": round(used_us / sessions),
    }
    report.table(
        f"(e) {sessions:,} live sessions in one replica, {broker} broker",
        ["", "measured", "at most"],
        [
            ["KB of Python objects for each", figures["kb_of_objects"], AT_MOST_KB],
            ["KB of resident memory that each added", figures["kb_each"], AT_MOST_KB],
            ["MB of resident memory with all of them", figures["resident_mb"], "-"],
            ["opened a second (handshake and first request)", figures["opened_per_s"], "-"],
            ["CPU us in the bridge for each", figures["cpu_us"], "-"],
        ],
        [
            f"objects: tracemalloc over {len(WEIGHED)} sessions of the bridge's own Devices in this process; their bytes do not "
            "depend on what else the process has freed",
            f"resident: growth of VmRSS from {WARM} sessions on, less what reading the registry had left free",
            "each session has shaken hands, asked DISCOVER, been answered, and keeps that reply; /metrics says that all are live",
        ],
    )
    return figures


def _objects(folder: Path) -> float:
    """Bytes that Python allocates for a session with one kept reply."""
    (folder / "house").mkdir()
    house = House(folder / "house", frames_per_s=1e6, frames_burst=10**6, handshakes_per_s=1e6)
    identities = [house.identity() for _ in (*WEIGHED, *WEIGHED)]
    world = World("client", [], load("reference"))

    def open_all(some: list[Identity]) -> None:
        for identity in some:
            opened = house.speak(house.shake(Talk(identity)))
            entry, _ = opened.live.exchange.begin(opened.message, opened.digest, opened.answers, world, house.now_s)
            opened.live.exchange.finish(
                entry, Told(Message("OFFER", {"rid": opened.message["rid"], "issuer": "https://as.example"}))
            )
        house.lines.clear()
        gc.collect()

    open_all(identities[len(WEIGHED) :])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    open_all(identities[: len(WEIGHED)])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(WEIGHED)


def _live(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("latchpin_sessions_active"))))


class Crowd:
    """Devices that speak over one connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._talks: dict[str, tuple[Talk, asyncio.Event]] = {}
        link.heard = self._hear

    async def open(self, identities: list[Identity]) -> None:
        """A session for each, confirmed by a DISCOVER that is answered."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(identity: Identity) -> None:
            async with gate:
                talk, answered = self._talks[identity.device] = Talk(identity), asyncio.Event()
                self._link.publish(topics.topic(identity.device, "hello"), talk.hello())
                await asyncio.wait_for(answered.wait(), WITHIN_S)
                del self._talks[identity.device]

        await asyncio.gather(*(one(identity) for identity in identities))

    def _hear(self, topic: str, payload: bytes) -> None:
        device = topic.split("/")[2]
        talk, answered = self._talks[device]
        up = topics.topic(device, "up", talk.replica) if talk.replica else ""
        if payload[:2] == b"\x83\x02":
            proof = talk.proof(payload)
            self._link.publish(topics.topic(device, "up", talk.replica), proof)
        elif talk.session is None:
            talk.confirm(payload)
            self._link.publish(up, talk.seal(message("DISCOVER", resource=0))[0])
        else:
            answered.set()
