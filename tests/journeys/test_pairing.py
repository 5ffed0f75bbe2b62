"""The main job: PIN in, token out, a tool answers; on both Pythons, on both brokers, by both ways to the MCP server."""

import pytest

from host_sim.world import World
from tests.journeys.conftest import BROKERS, RUNTIMES, pair


@pytest.mark.parametrize("route", ["relay", "direct"])
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pin_becomes_a_token_and_a_tool_answers(travel, runtime: str, broker: str, route: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        answer = await world.device.wait_for("Answer")
        assert world.device_id in answer and "led:write" in answer

    travel(journey, runtime=runtime, broker=broker, device_settings={"route": route})


def test_both_sides_show_the_same_binding_word(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        shown = await world.device.wait_for("PIN?")
        (entry,) = await world.waiting()
        assert entry["device"] == world.device_id
        assert f"word: {entry['binding_word']}" in shown

    travel(journey)


def test_a_device_that_was_off_comes_back_with_its_refresh_token_and_without_a_pin(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        await world.device.end()
        seen = len(world.device.lines)
        await world.device.start()
        await world.device.wait_for("Answer", since=seen)
        assert not [line for line in world.device.lines[seen:] if line.startswith("[PIN?]")]

    travel(journey, device_settings={"call": {"tool": "whoami"}})


def test_a_token_is_renewed_before_it_ends(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        seen = len(world.device.lines)
        await world.device.wait_for("Ready", within_s=15, since=seen)

    travel(journey, as_settings={"access_token_ttl_s": 5})
