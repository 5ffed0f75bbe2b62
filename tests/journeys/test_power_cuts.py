"""The power fails between any two things that a device does, in a pairing, a renewal, an unpairing: it goes on where it was.

Not for the file system: tests/adapters/test_power_cut.py cuts it at every block write.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from host_sim.world import World
from latchpin.agent.events import Event
from latchpin.runner import Runner
from tests.journeys.spied_device import SpiedDevice, end

WITHIN_S = 60
MOST_EFFECTS = 80
UNHURRIED = {"limits": {"frames_per_s": 1000, "frames_burst": 1000}}


class PowerCut(BaseException):
    """No `except` of the device sees it coming."""


class Powered(Runner):
    """A runner whose power lasts for so many effects."""

    def __init__(self, device: SpiedDevice, effects: int) -> None:
        super().__init__(device, device.identity, device.settings)
        self.left = effects

    def _carry_out(self, effect: Any) -> None:
        if not self.left:
            raise PowerCut
        self.left -= 1
        super()._carry_out(effect)


class Boot:
    """From power on to power cut, or to what somebody waits for."""

    def __init__(self, world: World, effects: int = -1) -> None:
        self._world = world
        self.device = SpiedDevice(world)
        self.runner = Powered(self.device, effects)
        self.answers = 0
        self.device.answer = self._answer  # type: ignore[method-assign]

    def _answer(self, ok: bool, text: str) -> None:
        self.answers += ok

    async def until(self, done: Callable[["Boot"], bool], typed: list[str] | None = None) -> bool:
        """True when `done`; False when the power went. typed: the PINs of a person who types one whenever it is asked for."""
        work = asyncio.create_task(self.runner.run())
        try:
            async with asyncio.timeout(WITHIN_S):
                while not done(self) and not work.done():
                    await asyncio.sleep(0.01)
                    if typed is not None and self.runner.agent.state == "WAITING" and not self.device._keys.qsize():
                        typed.append((await self._world.issue_pin())["pin"])
                        self.device.type("*" * 9 + typed[-1] + "#")
                        await asyncio.sleep(0.05)
        finally:
            cut = work.done()
            await end([work, *self.runner._tasks])
            assert work.cancelled() or isinstance(work.exception(), PowerCut)
        return not cut


def answered(boot: Boot) -> bool:
    return boot.answers > 0


class Log:
    """What the authorization server has said since the last look."""

    def __init__(self, world: World) -> None:
        self._path = world.services["as"].log
        self._seen = 0

    def news(self) -> list[dict[str, Any]]:
        said = self._path.read_text().splitlines()
        fresh, self._seen = said[self._seen :], len(said)
        return [json.loads(line) for line in fresh if line.startswith("{")]


def kept(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((world.folder / "device").glob("token*")))


def test_a_pairing_goes_on_after_a_power_cut_at_any_effect(embark) -> None:
    async def journey(world: World) -> None:
        log = Log(world)
        for effects in range(MOST_EFFECTS):
            for slot in (world.folder / "device").glob("token*"):
                slot.unlink()
            log.news()
            typed: list[str] = []
            whole = await Boot(world, effects).until(answered, typed)
            before, left = log.news(), kept(world)
            assert not [pin for pin in typed if pin.encode() in left], "a PIN is never kept"
            earlier = len(typed)
            if not whole:
                assert await Boot(world).until(answered, typed)
            after = log.news()
            challenges = [line for line in before + after if line["event"] == "challenge"]
            assert not [line for line in challenges if line["outcome"] == "wrong_answer"]
            assert not [line for line in before + after if line["event"] in ("code_reused", "refresh_token_reused")]
            sessions = {line["session"] for line in challenges if "session" in line}
            prompted = [line for line in before if line["event"] == "challenge"]
            if left and prompted:
                assert len(sessions) == 1, "it goes on with the auth_session that it kept"
            if any(line["outcome"] == "code" for line in prompted):
                assert len(typed) == earlier, "a PIN that was taken is not asked for again"
            assert len(typed) <= 2
            if whole:
                assert effects > 20
                return
        raise AssertionError("a pairing has fewer effects")

    embark(journey, bridge_settings=UNHURRIED)


def test_a_renewal_goes_on_after_a_power_cut_at_any_effect_and_costs_no_pin(embark) -> None:
    async def journey(world: World) -> None:
        typed: list[str] = []
        assert await Boot(world).until(answered, typed)
        log = Log(world)
        log.news()
        for effects in range(MOST_EFFECTS):
            whole = await Boot(world, effects).until(answered, typed)
            if whole:
                break
        assert whole and effects > 10 and len(typed) == 1
        said = log.news()
        assert not [line for line in said if line["event"] in ("revoked", "refresh_token_reused")]
        assert {line["outcome"] for line in said if line["event"] == "token"} == {"granted"}

    embark(journey, bridge_settings=UNHURRIED)


def test_an_unpairing_is_whole_or_did_not_happen(embark) -> None:
    async def journey(world: World) -> None:
        log = Log(world)
        seen = set()
        for effects in range(MOST_EFFECTS):
            assert await Boot(world).until(answered, [])
            log.news()
            boot = Boot(world)

            def freed(boot: Boot = boot, effects: int = effects) -> bool:
                if answered(boot):
                    boot.answers = -1000
                    boot.runner.left = effects
                    boot.runner.put(Event("Unpair", reset=effects % 2 == 1))
                return boot.runner.agent.state == "WAITING"

            whole = await boot.until(lambda _: freed())
            after = Boot(world)
            assert await after.until(lambda boot: answered(boot) or boot.runner.agent.state == "WAITING")
            revoked = [line for line in log.news() if line["event"] == "revoked"]
            asks = not answered(after)
            assert asks == bool(revoked), "who was freed gave its tokens back, who was not still has them"
            seen.add(asks)
            if whole:
                assert effects > 8 and seen == {True, False}
                return
        raise AssertionError("an unpairing has fewer effects")

    embark(journey, bridge_settings=UNHURRIED)
