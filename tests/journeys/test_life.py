"""A device's life after its first token, whole: more is asked of its owner, it is freed, set back, handed on.

Not for misfortune: test_outages.py, test_power_cuts.py. Not for servers without a challenge endpoint: test_device_grant.py.
"""

import asyncio
import json
import signal

import pytest

from host_sim.world import World, WorldError
from tests.authorization_server.browsing import Browser, Site, account, issue_pin
from tests.journeys.conftest import RUNTIMES, pair
from tests.requirements import proves

READING = {"scope": 1, "call": {"tool": "blink", "arguments": {"times": 2}}}


def lines(world: World, service: str, event: str) -> list[dict]:
    """What a service logged of this event."""
    said = [json.loads(line) for line in world.services[service].log.read_text().splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


async def until_logged(world: World, service: str, event: str, count: int = 1, **members: str) -> None:
    """Waits for so many lines with these members. Raises WorldError."""
    for _ in range(600):
        found = [line for line in lines(world, service, event) if members.items() <= line.items()]
        if len(found) >= count:
            return
        await asyncio.sleep(0.05)
    raise WorldError(f"{service} did not log {event} {members}: {lines(world, service, event)[-5:]}")


async def type_pin(world: World, since: int) -> None:
    await world.device.wait_for("PIN?", since=since)
    await world.device.type((await world.issue_pin())["pin"] + "#")


@proves("MCP-2-a")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_tool_that_wants_another_scope_gets_it_from_the_owner_and_then_answers(travel, runtime: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("More is asked")
        seen = len(world.device.lines) - 2
        await world.device.wait_for("PIN?", since=seen)
        (waiting,) = await world.waiting()
        assert sorted(waiting["scope"].split()) == ["led:read", "led:write"], "the owner sees what for"
        await type_pin(world, since=seen)
        assert "blinked twice" in await world.device.wait_for("Answer", since=seen)

    travel(journey, runtime=runtime, device_settings=READING)


@proves("RFC9470-4-b")
@pytest.mark.parametrize("route", ["relay", "direct"])
def test_a_server_that_wants_a_better_proof_of_the_person_gets_it(travel, route: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("More is asked")
        for _ in range(2):  # urn:two is two PINs
            seen = len(world.device.lines) - 2
            await type_pin(world, since=seen)
            await asyncio.sleep(0.5)
        assert world.device_id in await world.device.wait_for("Answer")

    policy = [{"acr": "urn:one", "challenges": ["pin"]}, {"acr": "urn:two", "challenges": ["pin", "pin"]}]
    settings = {"route": route, "call": {"tool": "whoami"}}
    travel(journey, device_settings=settings, as_settings={"policy": policy}, mcp_settings={"acr_values": "urn:two"})


def test_an_owner_who_refuses_more_leaves_what_was_there(travel) -> None:
    async def journey(world: World) -> None:
        pin = await pair(world)
        await world.device.wait_for("More is asked")
        await world.device.wait_for("PIN?", since=len(world.device.lines) - 2)
        await world.refuse()
        seen = len(world.device.lines)
        await world.device.type(pin + "#")
        await world.device.wait_for("Denied", since=seen)
        await world.device.type("#")
        await world.device.wait_for("Calling", since=seen)

    travel(journey, device_settings=READING)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_device_that_is_unpaired_gives_its_tokens_back_and_asks_for_its_next_owner(travel, runtime: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        seen = len(world.device.lines)
        await world.device.type("*000#")
        await world.device.wait_for("Unpair?", since=seen)
        await world.device.type("#")
        await world.device.wait_for("Unpaired", since=seen)
        await until_logged(world, "as", "revoked")
        await until_logged(world, "bridge", "request", code="unpaired")
        await type_pin(world, since=seen)
        await world.device.wait_for("Ready", since=seen)

    travel(journey, runtime=runtime)


def test_unpairing_works_offline_and_the_servers_hear_of_it_later(travel) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        await world.services["broker"].end(signal.SIGKILL)
        seen = len(world.device.lines)
        await world.device.wait_for("Offline", since=seen)
        await world.device.type("*999#")
        await world.device.wait_for("Factory reset?", since=seen)
        await world.device.type("#")
        await world.device.wait_for("Unpaired", since=seen)
        await world.device.end(signal.SIGKILL)
        kept = b"".join(path.read_bytes() for path in (world.folder / "device").glob("token_*.bin"))
        assert kept and not lines(world, "as", "revoked")
        await world.services["broker"].start()
        await world.device.start()
        await until_logged(world, "as", "revoked")
        await until_logged(world, "bridge", "request", code="factory_reset")
        await type_pin(world, since=seen)
        await world.device.wait_for("Ready", since=seen)

    travel(journey)


def test_a_device_that_is_handed_on_says_so_and_is_its_next_owners(travel) -> None:
    async def journey(world: World) -> None:
        site = Site(world.issuer, world.folder)
        account(site, "ada")
        account(site, "bob")
        ada, bob = Browser(site).sign_in("ada"), Browser(site).sign_in("bob")
        await world.device.start()
        await world.device.wait_for("PIN?")
        await world.device.type(issue_pin(ada, world.device_id) + "#")
        first = await world.device.wait_for("Answer")
        seen = len(world.device.lines)
        ada.get(f"/devices/{world.device_id}")
        ada.send(f"/devices/{world.device_id}/offer", account="bob")
        await world.device.wait_for("Ready", since=seen)
        seen = len(world.device.lines)
        bob.get("/")
        bob.send(f"/offers/{world.device_id}/take")
        assert "handed on" in await world.device.wait_for("Revoked", since=seen)
        await world.device.wait_for("PIN?", since=seen)
        assert world.device_id not in ada.get("/").text
        await world.device.type(issue_pin(bob, world.device_id) + "#")
        await world.device.wait_for("Ready", since=seen)
        await world.device.type("#")
        assert await world.device.wait_for("Answer", since=seen) != first, "the token names another owner"

    travel(journey, as_settings={"access_token_ttl_s": 6})
