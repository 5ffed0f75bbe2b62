"""A device at the servers of both official SDKs, in each of MCP's eras, by relay and straight: it lists, reads, calls, and takes
answers longer than its memory.

Not what those servers are: tests/peers/mcp_servers/flavours.py.
"""

import json
import zlib

import pytest

from host_sim.world import ROOT, World
from tests.journeys.conftest import RUNTIMES, pair
from tests.peers.mcp_servers.flavours import EVERY, command, has_sessions
from tests.requirements import proves

APPLICATION = ROOT / "tests" / "journeys" / "on_device" / "application.py"
LONG = 40_000
CALLS = [
    {},
    {"uri": "note://hello"},
    {"tool": "recite", "arguments": {"bytes": LONG}},
    {"tool": "count", "arguments": {"to": 3}},
    {"tool": "no-such-tool", "arguments": {}},
    {"tool": "whoami"},
]
# Every server from the chip's Python; the other one speaks to an old one and to a new one.
WHERE = [pytest.param(*(*RUNTIMES[0].values, *each.values), marks=[*RUNTIMES[0].marks, *each.marks]) for each in EVERY]
WHERE += [
    pytest.param("cpython", each.values[0], marks=each.marks)
    for each in EVERY
    if each.values[0] in ("ts-legacy-sse", "python-modern")
]


async def heard(world: World, number: int, since: int) -> dict:
    """What the application says of its answer of that number, from 0 on, after line `since`."""
    found: list[str] = []
    while len(found) <= number:
        line = await world.device.wait_for("Heard", since=since)
        since = world.device.lines.index(line, since) + 1
        found.append(line)
    return json.loads(found[number].removeprefix("[Heard] "))


async def goes_well(world: World, since: int) -> None:
    """Every answer, to the call of settings.json and to CALLS."""
    who, tools, note, long, counted, nothing, again = [await heard(world, number, since) for number in range(7)]
    assert who["ok"] and world.device_id in who["text"], who
    assert tools["ok"] and {"whoami", "recite", "count"} <= set(tools["text"].split("\n"))
    assert note["ok"] and note["text"] == "Hello from the shelf."
    assert long["ok"] and long["size"] == LONG and 2_000 < long["kept"] <= 2_048
    assert long["crc"] == zlib.crc32("".join(f"line {at:9} \n" for at in range(0, LONG, 16)).encode()), "each byte, in order"
    assert counted["ok"] and "3" in counted["text"]
    assert not nothing["ok"] and nothing["text"]
    assert again["ok"] and again["text"] == who["text"]


@proves("MCP-1-a", "MCP-1-b", "MCP-1-c")
@pytest.mark.parametrize(("runtime", "flavour"), WHERE)
def test_a_device_gets_on_with_the_servers_of_both_sdks_in_every_era(embark, runtime: str, flavour: str) -> None:
    async def journey(world: World) -> None:
        folder = world.folder / "device"
        (folder / "calls.json").write_text(json.dumps(CALLS))
        await pair(world)
        await goes_well(world, since=0)
        await world.device.end()
        settings = json.loads((folder / "settings.json").read_text())
        (folder / "settings.json").write_text(json.dumps({**settings, "route": "direct"}))
        seen = len(world.device.lines)
        await world.device.start()
        await goes_well(world, since=seen)

    embark(journey, runtime=runtime, mcp_server=command(flavour), main=APPLICATION)


@proves("MCP-1-d")
@pytest.mark.parametrize("flavour", [name for name in EVERY if has_sessions(name.values[0])])
def test_a_server_that_forgot_its_sessions_is_met_anew(embark, flavour: str) -> None:
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        await world.services["mcp"].end()
        await world.services["mcp"].start()
        seen = len(world.device.lines)
        await world.device.type("#")
        assert world.device_id in await world.device.wait_for("Answer", since=seen)

    embark(journey, mcp_server=command(flavour))
