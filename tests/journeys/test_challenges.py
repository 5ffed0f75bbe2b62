"""Other challenges than a PIN, on the device as it is: a code that somebody approves, then questions, then a tool answers.

Not the challenges' rules: tests/authorization_server/.
"""

import asyncio
import re

import pytest

from host_sim.authorization_server import admin
from host_sim.authorization_server.services import open_services
from host_sim.authorization_server.settings import load
from host_sim.world import World
from tests.authorization_server.direct import ADA, PASSWORD
from tests.journeys.conftest import RUNTIMES

POLICY = [{"challenges": ["pairing_code", "knowledge"]}]


def enrol(world: World) -> str:
    """An account that answers as ADA does; its id."""
    services = open_services(load(world.folder / "as.toml", {}))
    try:
        account = services.accounts.create("ada", PASSWORD).id
        admin.enrol_knowledge(services, "ada", ADA)
        return account
    finally:
        services.storage.close()


def approve(world: World, code: str) -> None:
    services = open_services(load(world.folder / "as.toml", {}))
    try:
        admin.approve(services, code)
    finally:
        services.storage.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_code_on_the_screen_then_questions_then_a_tool_answers(travel, runtime: str) -> None:
    async def journey(world: World) -> None:
        account = await asyncio.to_thread(enrol, world)
        await world.device.start()
        shown = await world.device.wait_to_read("Approve ")
        (waiting,) = await world.waiting()
        assert waiting["asking"] == "pairing_code" and waiting["binding_word"] in shown
        await asyncio.to_thread(approve, world, re.findall("[A-Z]{4}-[A-Z]{4}", shown)[0])
        for label, answer in (
            ("User name", "ada"),
            ("Name", ADA["name"]),
            ("Date of birth", ADA["birth_date"]),
            ("Last four digits", ADA["last_four"]),
        ):
            await world.device.wait_to_read(f"] {label}")
            await world.device.type(answer + "#")
        answered = await world.device.wait_for("Answer")
        assert world.device_id in answered and account in answered

    travel(journey, runtime=runtime, as_settings={"policy": POLICY})
