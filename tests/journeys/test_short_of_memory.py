"""A device that runs out of memory in the middle of something goes on as after an outage.

Not how little it needs: test_budgets.py.
"""

import pytest

from host_sim.world import World
from latchpin.agent.agent import Agent
from latchpin.agent.events import Event
from tests.journeys.spied_device import SpiedDevice, spied_device


@pytest.mark.parametrize("state", ["GREETING", "CHALLENGING", "WAITING", "REDEEMING", "CALLING"])
def test_a_device_without_memory_for_an_event_loses_it_and_goes_on(embark, monkeypatch, state: str) -> None:
    handle, short = Agent.handle, [state]

    def without_memory(agent: Agent, event: Event, now_ms: int) -> list:
        if agent.state in short and event.name in ("Received", "KeyPressed"):
            short.clear()
            raise MemoryError
        return handle(agent, event, now_ms)

    monkeypatch.setattr(Agent, "handle", without_memory)

    async def type_pin(world: World, device: SpiedDevice, since: int) -> int:
        await device.wait_for("waiting", since)
        seen = len(device.shown)
        device.type("*" * 9 + (await world.issue_pin())["pin"] + "#")
        return seen

    async def journey(world: World) -> None:
        async with spied_device(world, monkeypatch) as device:
            seen = await type_pin(world, device, 0)
            if state == "WAITING":
                await type_pin(world, device, seen)
            view = await device.wait_for("answer")
            assert world.device_id in view.text
            lost = [view.text for view in device.shown if view.code == "offline"]
            assert lost and "memory" in lost[0] and not short

    embark(journey)
