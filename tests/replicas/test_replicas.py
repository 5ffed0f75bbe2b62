"""Two replicas and no shared store: one dies, or is told to stop, at each message of a pairing, and the device goes on.

Not the bridge alone: broker, AS, MCP server and replicas are processes; the device is the real one. Its clock stands still, so
that no test waits for a time-out, and none has one by accident.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from host_sim.world import DeviceProcess, micropython_is_here
from tests.journeys.conftest import BROKERS, NO_MICROPYTHON
from tests.replicas.cluster import WITHIN_S, Cluster, StillDevice, still_device

Journey = Callable[[StillDevice], Awaitable[None]]

# What a pairing and a call say between device and bridge, up and down in turn.
SAID = (
    *("hello", "message_2", "message_3", "message_4", "DISCOVER", "OFFER", "CHALLENGE", "PROMPT", "CHALLENGE with PIN", "CODE"),
    *("TOKEN", "TOKENS", "CALL", "RESULT"),
)
WITH_PIN, CODE, LAST = 9, 10, len(SAID)
EACH = [pytest.param(number, id=f"{number}-{name}") for number, name in enumerate(SAID, 1)]


class Town:
    """A cluster that stands for all tests of a broker, and the loop that it lives in."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner) -> None:
        self.cluster, self.run = cluster, runner.run


@pytest.fixture(scope="module", params=BROKERS)
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), broker=request.param, runtime="cpython")
    with asyncio.Runner() as runner:
        try:
            runner.run(cluster.__aenter__())
            yield Town(cluster, runner)
        finally:
            runner.run(cluster.end())


def journey(town: Town, monkeypatch: pytest.MonkeyPatch, test: Journey, number: int = 0, deed: Any = None) -> None:
    async def inside() -> None:
        await town.cluster.begin(number, deed)
        async with still_device(town.cluster, monkeypatch) as device:
            before = Written(town.cluster)
            await test(device)
            before.compare()

    town.run(inside())


class Written:
    """What the authorization server had written down before a pairing, and what that pairing may add to it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen = {table: set(self._ids(table)) for table in ("sessions", "families")}

    def _ids(self, table: str) -> list[str]:
        return [row[0] for row in self._cluster.rows(f"SELECT id FROM {table}")]

    def compare(self) -> None:
        # A session whose first prompt was lost is one more that nobody ever answers.
        sessions = set(self._ids("sessions")) - self._seen["sessions"]
        families = set(self._ids("families")) - self._seen["families"]
        rows = self._cluster.rows
        tries = sum(row[1] for row in rows("SELECT id, tries FROM sessions") if row[0] in sessions)
        assert tries == 0, "no attempt was charged: the PIN was right whenever it was typed"
        redeemed = [row[1] for row in rows("SELECT session, family FROM codes WHERE used IS NOT NULL") if row[0] in sessions]
        assert sorted(redeemed) == sorted(families), "each code that was redeemed made one family"
        live = [row[0] for row in rows("SELECT id FROM families WHERE revoked IS NULL") if row[0] in families]
        assert len(live) == 1, "and all but the last are revoked"
        assert "code_reused" not in (self._cluster.folder / "as.log").read_text()


def test_a_pairing_says_what_stands_here_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(device: StillDevice) -> None:
        assert (await device.wait_for("answer")).code == "answer"
        assert [carried.up for carried in town.cluster.carried] == [True, False] * (LAST // 2)
        assert len({carried.crossing.name for carried in town.cluster.carried}) == 1, "one replica for one session"
        assert device.typed == 1 and device.clock_ms == 0

    journey(town, monkeypatch, test)


@pytest.mark.parametrize("number", EACH)
def test_a_replica_dies_at_a_message_and_the_device_goes_on_with_the_other(
    town: Town, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def test(device: StillDevice) -> None:
        dead = (await asyncio.wait_for(town.cluster.met, WITHIN_S)).crossing
        await asyncio.wait_for(dead.gone.wait(), WITHIN_S)
        await device.until_greeting()
        await device.wait_for("answer", within_s=WITHIN_S)
        assert {carried.crossing.name for carried in town.cluster.carried[number:]} == set(town.cluster.crossings) - {dead.name}
        # Only what was typed and never reached the server is typed again, and it was charged to nobody.
        assert device.typed == (2 if number == WITH_PIN else 1)

    journey(town, monkeypatch, test, number, town.cluster.kill)


@pytest.mark.parametrize("number", EACH[:-1])
def test_a_replica_that_is_told_to_stop_hands_its_device_over_and_nobody_waits(
    town: Town, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def test(device: StillDevice) -> None:
        await device.wait_for("answer", within_s=WITHIN_S)
        told = town.cluster.met.result().crossing.name
        assert await town.cluster.ended(told) == 0
        assert town.cluster.carried[-1].crossing.name != told
        assert device.typed == 1 and device.clock_ms == 0

    journey(town, monkeypatch, test, number, town.cluster.stop)


def test_a_second_sigterm_ends_a_replica_at_once_although_a_device_has_not_asked(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(device: StillDevice) -> None:
        await device.wait_for("answer", within_s=WITHIN_S)
        told = town.cluster.met.result().crossing
        await asyncio.wait_for(told.leaving.wait(), WITHIN_S)
        assert town.cluster.services[told.name].alive
        town.cluster.services[told.name].poke(signal.SIGTERM)
        assert await town.cluster.ended(told.name) == 0

    journey(town, monkeypatch, test, LAST, town.cluster.stop)


@pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)
@pytest.mark.parametrize("number", [EACH[WITH_PIN - 1], EACH[CODE - 1]])
def test_a_micropython_device_goes_on_too_by_its_own_clock(town: Town, number: int) -> None:
    """In real time: on a busy machine the device may give up more often, so what it may ask for is not counted here."""
    cluster = town.cluster

    async def inside() -> None:
        await cluster.begin(number, cluster.kill)
        for journal in (cluster.folder / "device").glob("token_?.bin"):
            journal.unlink()
        cluster.runtime = "micropython"
        before = Written(cluster)
        device = DeviceProcess(cluster.folder / "device", *cluster._device_command(), lambda line: None)
        await device.start()
        person = asyncio.create_task(type_whenever_asked(cluster, device))
        try:
            answer = await device.wait_for("Answer", 2 * WITHIN_S)
        finally:
            person.cancel()
            await device.end()
        assert cluster.device_id in answer and cluster.met.done()
        before.compare()

    town.run(inside())


async def type_whenever_asked(cluster: Cluster, device: DeviceProcess) -> None:
    pin, since = "", 0
    while True:
        await device.wait_for("PIN?", 2 * WITHIN_S, since)
        pin = pin or (await cluster.issue_pin())["pin"]
        await device.type(pin + "#")
        asked = len(device.lines)
        await device.wait_for("Connecting", 2 * WITHIN_S, asked)
        since = len(device.lines)
