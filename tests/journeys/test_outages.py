"""Two hundred outages, seeded, in one life of a device: it comes back from each without a hand, and costs nobody a second try.

Not for one misfortune at a time: test_bad_input.py names those. Here the device's clock runs eight times as fast as the servers',
or its patience with a dead broker would be the test's.
"""

import asyncio
import contextlib
import json
import random
import re
import selectors
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyreqwest.exceptions import RequestError

from host_sim.world import World, WorldError
from latchpin import runtime
from latchpin.agent.events import Event
from latchpin.runner import Runner
from latchpin.wire import messages
from tests.journeys.spied_device import SpiedDevice, end

FASTER = 8
OUTAGES = 200
WELL_WITHIN_S = 150
FINAL = ("denied", "needs_browser", "not_first_party", "unknown_device", "invalid", "internal", "bearer_only", "locked")
AGAIN = re.compile(r"again in \d+ s", re.I)
SAYS_UNTIL_WHEN = ("offline", "refused", "silence", "try_later")


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds are an eighth of a second."""

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[Any]:
            return super().select(timeout and timeout / FASTER)

    def __init__(self) -> None:
        super().__init__(self.Selector())

    def time(self) -> float:
        return super().time() * FASTER


class Life:
    """A device on a FastLoop in a thread of its own, with power that can fail."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world = world
        self._loop = FastLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.entries = 0
        self.shown: list[Any] = []
        self.answers = 0
        self.to_lose = 0
        self.pins_sent: set[bytes] = set()
        monkeypatch.setattr(runtime, "ticks_ms", lambda: int(time.monotonic() * 1000 * FASTER))
        append, unpack = messages.append, messages.unpack

        def listening_append(out: bytearray, message: messages.Message) -> None:
            if message.get("answers"):
                self.pins_sent.add(message["rid"])
            append(out, message)

        def losing_unpack(data: bytes) -> messages.Message:
            if self.to_lose:
                self.to_lose -= 1
                raise messages.PeerError("lost on the way, for this test")
            return unpack(data)

        monkeypatch.setattr(messages, "append", listening_append)
        monkeypatch.setattr(messages, "unpack", losing_unpack)

    @contextlib.contextmanager
    def lived(self) -> Iterator["Life"]:
        self._thread.start()
        self.power_on()
        try:
            yield self
        finally:
            self.power_off()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def state(self) -> str:
        return self._runner.agent.state

    def power_on(self) -> None:
        asyncio.run_coroutine_threadsafe(self._on(), self._loop).result()

    async def _on(self) -> None:
        self._device = SpiedDevice(self._world)
        self._device.show = self._show  # type: ignore[method-assign]
        self._device.answer = self._answer  # type: ignore[method-assign]
        self._runner = Runner(self._device, self._device.identity, self._device.settings)
        self._work = asyncio.create_task(self._runner.run())

    def power_off(self) -> None:
        async def off() -> None:
            await end(task for task in asyncio.all_tasks() if task is not asyncio.current_task())

        asyncio.run_coroutine_threadsafe(off(), self._loop).result()

    def put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._runner.put, event)

    def type(self, text: str) -> None:
        self._loop.call_soon_threadsafe(self._device.type, text)

    def _show(self, view: Any) -> None:
        self.shown.append(view)

    def _answer(self, ok: bool, text: str) -> None:
        self.answers += ok


async def person(world: World, life: Life) -> None:
    """Types the PIN whenever the device asks for one, and asks for an answer of the tool now and then."""
    while True:
        await asyncio.sleep(0.1)
        if life.state == "WAITING":
            with contextlib.suppress(WorldError, RequestError, ConnectionError):  # the AS is down: then later
                pin = (await world.issue_pin())["pin"]
                if life.state == "WAITING":
                    life.entries += 1
                    life.type("*" * 9 + pin + "#")
                    await asyncio.sleep(0.3)
        elif life.state == "READY":
            life.put(Event("Call", tool="whoami", arguments={}))


async def well(life: Life) -> None:
    """Until the tool has answered twice more."""
    wanted, end_s = life.answers + 2, time.monotonic() + WELL_WITHIN_S
    while life.answers < wanted:
        assert time.monotonic() < end_s, f"{life.state}: {[(view.title, view.text) for view in life.shown[-12:]]}"
        await asyncio.sleep(0.05)


class Misfortune:
    """What can happen; each of these ends by itself."""

    def __init__(self, world: World, life: Life, chance: random.Random) -> None:
        self._world, self._life, self._chance = world, life, chance

    async def a_reply_is_lost(self) -> None:
        self._life.to_lose += self._chance.randint(1, 3)

    async def the_power_fails(self) -> None:
        self._life.power_off()
        await asyncio.sleep(self._chance.random() / 4)
        self._life.power_on()

    async def the_journal_is_lost_too(self) -> None:
        self._life.power_off()
        for slot in (self._world.folder / "device").glob("token_*.bin"):
            slot.unlink()
        self._life.power_on()

    async def somebody_hangs(self) -> None:
        service = self._world.services[self._chance.choice(("broker", "bridge", "as", "mcp"))]
        service.poke(signal.SIGSTOP)
        await asyncio.sleep(self._chance.choice((0.05, 0.3, 1.5)))
        service.poke(signal.SIGCONT)

    async def somebody_is_killed(self) -> None:
        service = self._world.services[self._chance.choice(("broker", "bridge", "as", "mcp"))]
        await service.end(signal.SIGKILL)
        await asyncio.sleep(self._chance.random() / 2)
        await service.start()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_hundred_outages_need_no_hand_charge_no_second_attempt_and_redeem_no_code_twice(travel, monkeypatch) -> None:
    chance = random.Random(20261123)
    kinds = ("a_reply_is_lost",) * 8 + ("the_power_fails",) * 5 + ("somebody_hangs",) * 4 + ("somebody_is_killed",) * 2
    kinds += ("the_journal_is_lost_too",)

    async def journey(world: World) -> None:
        life = Life(world, monkeypatch)
        misfortune = Misfortune(world, life, chance)
        with life.lived():
            human = asyncio.create_task(person(world, life))
            await well(life)
            for number in range(OUTAGES):
                await getattr(misfortune, chance.choice(kinds))()
                await asyncio.sleep(chance.random() / 3)
                if number % 20 == 19:
                    await well(life)
            human.cancel()
        said = lines(world.services["as"].log)
        assert not [line for line in said if line["event"] in ("code_reused", "refresh_token_reused")]
        charged = [line for line in said if line["event"] == "challenge" and line["outcome"] == "wrong_answer"]
        assert not charged and 5 < len(life.pins_sent) <= life.entries
        assert not [view for view in life.shown if view.code in FINAL]
        assert {"offline", "waiting", "ready", "answer", "try_later"} <= {view.code for view in life.shown}, "they were felt"
        assert life.entries > 5 and len([line for line in said if line["event"] == "token"]) > 20
        for view in life.shown:
            assert view.code not in SAYS_UNTIL_WHEN or AGAIN.search(view.text), view.text

    travel(journey, as_settings={"access_token_ttl_s": 5})
