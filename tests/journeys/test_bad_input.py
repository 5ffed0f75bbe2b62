"""What goes wrong is said on the device's screen and in the bridge's log, under the same request id, with the next step.

Not for malformed bytes: hostile/ has those.
"""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from host_sim.world import World
from tests.journeys.conftest import pair, wrong

REQUEST_ID = re.compile(r"\[[a-z_]+ (?:hello|proof|[A-Z_]+) ([0-9a-f]{8})\]")  # code, step, and what the logs name too


def logged(world: World, request_id: str) -> list[dict[str, Any]]:
    """What the bridge logged of a request."""
    lines = [json.loads(line) for line in world.services["bridge"].log.read_text().splitlines()]
    return [line for line in lines if line.get("rid") == request_id]


def logged_by(world: World, service: str, request_id: str) -> list[dict[str, Any]]:
    """What a server behind the bridge logged of a request."""
    lines = [json.loads(line) for line in world.services[service].log.read_text().splitlines()]
    return [line for line in lines if line.get("request") == request_id]


def id_of(line: str) -> str:
    found = REQUEST_ID.search(line)
    assert found, f"no request id in: {line}"
    return found[1]


def test_a_typing_error_is_refused_by_the_check_digit_without_spending_an_attempt(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        await world.device.wait_for("PIN?")
        pin = (await world.issue_pin())["pin"]
        for last in "0123456789":
            if last != pin[8]:
                seen = len(world.device.lines)
                await world.device.type(pin[:8] + last + "#")
                await world.device.wait_for("Typing error", since=seen)
                await world.device.type("1*")
        await world.device.type(wrong(pin) + "#")
        assert "4 tries left" in await world.device.wait_for("Wrong")

    travel(journey)


def test_five_wrong_pins_lock_until_the_authorization_server_says_otherwise(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        await world.device.wait_for("PIN?")
        pin = (await world.issue_pin())["pin"]
        for left in (4, 3, 2, 1):
            seen = len(world.device.lines)
            await world.device.type(wrong(pin) + "#")
            line = await world.device.wait_for("Wrong", since=seen)
            assert f"{left} tries left" in line and logged(world, id_of(line))
            assert logged_by(world, "as", id_of(line))[0]["tries_left"] == left
        await world.device.type(wrong(pin) + "#")
        line = await world.device.wait_for("Locked")
        assert logged(world, id_of(line))
        # Locked is locked: asking again changes nothing, the right PIN is not even asked for.
        seen = len(world.device.lines)
        await world.device.type("#")
        await world.device.wait_for("Locked", since=seen)
        await world.unlock()
        seen = len(world.device.lines)
        await world.device.type("#")
        await world.device.wait_for("PIN?", since=seen)
        await world.device.type((await world.issue_pin())["pin"] + "#")
        await world.device.wait_for("Ready")

    travel(journey)


def test_an_expired_pin_is_called_expired_and_a_new_one_works(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        await world.device.wait_for("PIN?")
        pin = (await world.issue_pin())["pin"]
        await asyncio.sleep(4.2)
        await world.device.type(pin + "#")
        line = await world.device.wait_for("Expired")
        assert logged(world, id_of(line))
        await world.device.type((await world.issue_pin())["pin"] + "#")
        await world.device.wait_for("Ready")

    travel(journey, as_settings={"pin_ttl_s": 4})


def test_a_device_that_was_revoked_or_never_enrolled_is_told_so_with_the_id_that_the_log_names(travel) -> None:
    async def journey(world: World) -> None:
        # It still has its MQTT password (a broker may be slow to forget), but the bridge's registry has another key for it.
        text = world.registry.path.read_text()
        public = re.search(r'public = "([0-9a-f]{128})"', text)
        assert public
        other = json.loads((world.folder / "device" / "identity.json").read_text())["bridges"][0][1]
        world.registry.path.write_text(text.replace(public[1], other))
        world.services["bridge"].poke(signal.SIGHUP)
        await asyncio.sleep(0.5)
        await world.device.start()
        line = await world.device.wait_for("Not accepted")
        assert logged(world, id_of(line))

    travel(journey)


def test_a_bridge_that_is_not_the_pinned_one_learns_nothing(travel) -> None:
    async def journey(world: World) -> None:
        path = world.folder / "device" / "identity.json"
        identity = json.loads(path.read_text())
        identity["bridges"][0][1] = identity["public"]
        path.write_text(json.dumps(identity))
        await world.device.start()
        line = await world.device.wait_for("Not accepted")
        assert id_of(line)

    travel(journey)


def test_with_the_authorization_server_down_the_device_says_when_it_tries_again_and_then_goes_on(travel) -> None:
    async def journey(world: World) -> None:
        await world.services["as"].end(signal.SIGKILL)
        await world.device.start()
        line = await world.device.wait_for("Busy")
        assert re.search(r"again in \d+ s", line) and logged(world, id_of(line))
        await world.services["as"].start()
        await world.device.wait_for("PIN?", within_s=40)

    travel(journey)


def test_an_authorization_server_that_dies_under_a_pin_costs_that_entry_and_no_attempt(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        await world.device.wait_for("PIN?")
        pin = (await world.issue_pin())["pin"]
        await world.services["as"].end(signal.SIGKILL)
        await world.device.type(pin + "#")
        await world.device.wait_for("Busy")
        await world.services["as"].start()
        seen = len(world.device.lines)
        await world.device.wait_for("PIN?", within_s=40, since=seen)
        await world.device.type(pin + "#")
        await world.device.wait_for("Ready")

    travel(journey)


def test_with_the_broker_down_the_device_says_so_and_comes_back(travel) -> None:
    async def journey(world: World) -> None:
        await world.device.start()
        await world.device.wait_for("PIN?")
        await world.services["broker"].end(signal.SIGKILL)
        line = await world.device.wait_for("Offline")
        assert re.search(r"again in \d+ s", line)
        seen = len(world.device.lines)
        await world.services["broker"].start()
        await world.device.wait_for("PIN?", within_s=60, since=seen)

    travel(journey)


async def pair_while(world: World, happening: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Pair, and let something happen between the prompt and the PIN."""
    await world.device.start()
    await world.device.wait_for("PIN?")
    await happening()
    await world.device.type((await world.issue_pin())["pin"] + "#")
    await world.device.wait_for("Ready")


def test_an_mcp_server_that_is_down_is_asked_again_and_the_call_is_not_forgotten(travel) -> None:
    async def journey(world: World) -> None:
        async def happening() -> None:
            await world.services["mcp"].end()

        await pair_while(world, happening)
        line = await world.device.wait_for("Busy")
        assert re.search(r"again in \d+ s", line) and logged(world, id_of(line))
        await world.services["mcp"].start()
        await world.device.wait_for("Answer", within_s=40)

    travel(journey)


def test_an_mcp_server_that_refuses_the_token_is_asked_with_a_new_one_and_then_named_with_its_status(travel) -> None:
    async def journey(world: World) -> None:
        async def happening() -> None:
            # From now on it goes by another name, and these tokens were issued for another audience.
            await world.services["mcp"].end()
            path = world.folder / "mcp.toml"
            path.write_text(path.read_text().replace(world.resource, world.resource.replace("localhost", "127.0.0.1")))
            await world.services["mcp"].start()

        await pair_while(world, happening)
        line = await world.device.wait_for("MCP refused")
        assert "401" in line and logged(world, id_of(line)) and logged_by(world, "mcp", id_of(line))[0]["status"] == 401
        steps = [json.loads(entry).get("step") for entry in world.services["bridge"].log.read_text().splitlines()]
        assert [step for step in steps if step in ("token", "call")] == ["token", "call", "token", "call"]

    travel(journey)


def test_an_unknown_tool_is_the_tools_answer_and_no_failure_of_the_path(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        assert "no_such_tool" in await world.device.wait_for("Answer")

    travel(journey, device_settings={"call": {"tool": "no_such_tool"}})
