"""Many requests in one turn of the event loop: each gets its own answer, and what befalls one touches no other.

Not what a request asks (test_exchange.py), and not the way through broker and AS (test_bridge.py).
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from broker_bridge import logs, traces
from broker_bridge.answering import Answering, Wanted
from broker_bridge.devices import REFUSAL
from broker_bridge.exchange import Discovered
from broker_bridge.life import Turn
from broker_bridge.oauth_api import AuthorizationServerMetadata
from broker_bridge.operations import Metrics
from broker_bridge.refusals import Refused
from latchpin.wire.bridge_side import CODES
from tests.bridge.driver import Talk, message
from tests.bridge.test_devices import House
from tests.bridge.test_exchange import WORLD

ISSUER = "https://as.example"
METADATA = AuthorizationServerMetadata(issuer=ISSUER, token_endpoint=f"{ISSUER}/token", code_challenge_methods_supported=["S256"])


class Faulty(traces.Silence):
    """A tracer that fails at what is told to `of`."""

    of = ""

    def begun(self, step: str, request_id: str, device: str) -> object:
        return request_id

    def answered(self, span: object, outcome: str, code: str | None) -> None:
        assert span != Faulty.of, "a fault of ours"


class Desk:
    """Answering for a house. `fates` by request id; what is not in there is answered by OFFER."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.fates: dict[str, BaseException] = {}
        self.published: list[tuple[str, bytes]] = []
        self.rooms: list[int] = []
        metrics = Metrics(lambda: ())
        publish = lambda device, frame: self.published.append((device, frame))  # noqa: E731
        ways = (self.fetch, lambda _: "nonce", publish, house.devices.farewell)
        self.answering = Answering(WORLD, *ways, metrics, Faulty(), self.on_room)

    def on_room(self) -> None:
        self.rooms.append(len(self.answering.under_way))

    def fetch(self, wanted: Wanted, rid: str) -> tuple[str, Coroutine[Any, Any, Any]]:
        async def come() -> Discovered:
            await asyncio.sleep(0)
            if rid in self.fates:
                raise self.fates[rid]
            return Discovered(METADATA, {"token": METADATA.token_endpoint})

        return "authorization_server", come()

    def ask(self, talk: Talk) -> tuple[Talk, str, tuple[bytes, bytes]]:
        asked = message("DISCOVER", resource=0)
        frame, names = talk.seal(asked)
        self.answering.begin(self.house.up(talk, frame))
        return talk, asked["rid"][:4].hex(), names

    async def settle(self) -> None:
        while self.answering.under_way:
            await asyncio.sleep(0)

    def heard(self, talk: Talk, names: tuple[bytes, bytes]) -> str:
        (frame,) = [frame for device, frame in self.published if device == talk.identity.device]
        came = talk.open(frame, names)
        return CODES[came["error"]] if came.name == "ERROR" else came.name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(House(tmp_path))


def test_a_fault_of_ours_and_a_refusal_in_one_turn_are_told_to_their_own_devices_alone(desk: Desk):
    async def three() -> list[str]:
        asked = [desk.ask(desk.house.confirmed()) for _ in range(3)]
        desk.fates = {asked[0][1]: KeyError("a fault of ours"), asked[1][1]: Refused("try_later", "timeout", 10)}
        await desk.settle()
        return [desk.heard(talk, names) for talk, _, names in asked]

    assert asyncio.run(three()) == ["internal", "try_later", "OFFER"]
    assert desk.rooms[-1] == 0


def test_a_fault_in_counting_one_answer_keeps_back_neither_it_nor_those_of_the_same_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    async def two() -> list[str]:
        asked = [desk.ask(desk.house.confirmed()) for _ in range(2)]
        monkeypatch.setattr(Faulty, "of", asked[0][1])
        await desk.settle()
        return [desk.heard(talk, names) for talk, _, names in asked]

    events: list[str] = []
    monkeypatch.setattr(logs, "line", lambda event, *_, **__: events.append(event))
    assert asyncio.run(two()) == ["OFFER", "OFFER"]
    assert events.count("defect") == 1 and not desk.answering.under_way


def test_a_session_that_ends_before_its_answer_is_sealed_hears_nothing_and_the_others_do(desk: Desk):
    async def two() -> str:
        gone, stays = desk.ask(desk.house.confirmed()), desk.ask(desk.house.confirmed())
        desk.house.devices._confirmed[gone[0].identity.device].exchange.close()
        await desk.settle()
        assert [device for device, _ in desk.published] == [stays[0].identity.device]
        return desk.heard(stays[0], stays[2])

    assert asyncio.run(two()) == "OFFER"


def test_a_device_that_is_revoked_under_its_request_hears_that_it_is_over(desk: Desk):
    async def revoked() -> str:
        talk, _, _ = desk.ask(desk.house.confirmed())
        desk.house.registry.revoke(talk.identity.device)
        desk.house.devices.follow((talk.identity.device,))
        await desk.settle()
        return talk.identity.device

    device = asyncio.run(revoked())
    assert desk.published == [(device, REFUSAL)]


def test_what_is_cancelled_while_it_is_fetched_is_under_way_no_more(desk: Desk):
    async def cancelled() -> None:
        desk.ask(desk.house.confirmed())
        await asyncio.gather(*desk.answering.cancel(), return_exceptions=True)
        await desk.settle()

    asyncio.run(cancelled())
    assert desk.published == []


def test_a_turn_hands_on_in_order_what_it_brought_and_the_next_one_what_came_meanwhile():
    handed: list[list[int]] = []

    def handle(items: list[int]) -> None:
        handed.append(items)
        if items[0] == 0:
            turn.add(9)

    async def add() -> None:
        for number in range(3):
            turn.add(number)
        assert not handed
        await asyncio.sleep(0.01)

    turn = Turn(handle)
    asyncio.run(add())
    assert handed == [[0, 1, 2], [9]]
