"""boards/README.md, followed word by word: every command that it shows, in its order, from an empty chip to a tool's answer.

Only three things are put in: the ports are those of boards behind pseudo-terminals, the broker's name and port are those of the
world, and a person's answers. The chip's ROM is a stranger's (tests/adapters/empty_chip.py), its radio is simulated.
"""

import asyncio
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from broker_bridge.registry import Registry
from host_sim.world import ROOT, World, micropython_is_here
from tests.adapters.empty_chip import EmptyChip
from tests.adapters.pty_board import PtyBoard
from tests.adapters.support import HERE
from tests.adapters.test_firmware import make_image
from tests.house_rules.test_readme import NOT_HERE, WALKED, shell_lines
from tests.journeys.conftest import NO_MICROPYTHON

pytestmark = pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)

README = (ROOT / "boards/README.md").read_text()
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'device'}",
}


def with_a_radio(folder: Path) -> Path:
    """A board's directory: what a chip's own modules would be lies in its lib."""
    shutil.copytree(HERE / "simulated", folder / "lib")
    shutil.copy(ROOT / "tests/both_runtimes/chips.py", folder / "lib")
    return folder


class Shell:
    """Commands in one folder, in a real terminal, with somebody who answers."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self._folder = folder
        self._ports = ports
        self.shown = ""

    def start(self, command: str, folder: Path | None = None) -> None:
        for name, port in self._ports.items():
            command = command.replace(name, port)
        self.shown = ""
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder or self._folder,
            env=ENVIRONMENT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, pattern: str | None, within_s: float = 120) -> None:
        """Until it shows `pattern`; None: until it has ended."""
        end = time.monotonic() + within_s
        while pattern is None or not re.search(pattern, self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._master, 4096).decode(errors="replace")
                except OSError:  # the other end is closed
                    assert pattern is None, self.shown
                    break

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> None:
        self.until(None)
        os.close(self._master)
        assert self._process.wait(60) == 0, self.shown

    def run(self, command: str, folder: Path | None = None) -> str:
        self.start(command, folder)
        self.end()
        return self.shown


def test_the_guide_is_followed_word_by_word_to_a_tools_answer(embark, tmp_path: Path) -> None:
    given = [
        line for line in shell_lines(README) if line.startswith(("latchpin ", "openssl ", "mpremote ")) and line not in NOT_HERE
    ]
    assert given == list(WALKED)
    key, ca, flash, wifi, doctor, terminal, update, many, mip = given
    settings = json.loads(re.findall(r"```json\n(.*?)```", README, re.S)[0])

    async def journey(world: World) -> None:
        chip = EmptyChip(with_a_radio(tmp_path / "first"), "esp32")
        other = PtyBoard(with_a_radio(tmp_path / "second"))
        shell = Shell(world.folder, {"/dev/ttyUSB0": chip.port, "/dev/ttyUSB1": other.port})
        run = lambda command, folder=None: asyncio.to_thread(shell.run, command, folder)  # noqa: E731
        until = lambda pattern: asyncio.to_thread(shell.until, pattern)  # noqa: E731
        try:
            # The guide makes the bridge's key, so the world's own has to go.
            (world.folder / "bridge.key").unlink()
            await run(key)
            config = world.folder / "bridge.toml"
            config.write_text(config.read_text().replace("kid = 2", "kid = 1"))
            await world.services["bridge"].end()
            await world.services["bridge"].start()
            await run(ca)
            broker = urllib.parse.urlsplit(world.broker_url)
            settings["broker"] |= {"host": broker.hostname, "port": broker.port}
            (world.folder / "settings.json").write_text(json.dumps(settings))
            make_image(world.folder / "ESP32_GENERIC.bin", "esp32")
            (world.folder / "wifi.txt").write_text("secret words\n")

            said = await run(flash)
            assert "firmware: written and read back" in said and "enrolled in devices.toml" in said and "none known" in said
            device = json.loads((chip.directory / "identity.json").read_text())["device"]
            found = Registry(world.folder / "devices.toml").get(device)
            assert found is not None and found.alias == "kitchen door"

            shell.start(wifi)
            await until("Which one")
            shell.type("1\n")
            await until("Password of home")
            shell.type("secret words\n")
            await asyncio.to_thread(shell.end)
            assert "it will remember" in shell.shown and "secret words" not in shell.shown

            said = await run(doctor)
            assert "The way is free" in said and "wifi: joined" in said

            seen = len(chip.seen)
            shell.start(terminal)
            await asyncio.to_thread(chip.wait_for, b"[PIN?]", 60, seen)
            await until("Connected to MicroPython")
            shell.type((await world.issue_pin(device))["pin"] + "\r")
            await until(r"\[Ready\]")
            await until(r"\[Answer\]")
            assert device in shell.shown
            shell.type("\x1d")
            await asyncio.to_thread(shell.end)

            seen = len(chip.seen)
            assert f"device {device} starts what is new" in await run(update)
            await asyncio.to_thread(chip.wait_for, b"[Answer]", 60, seen)

            said = await run(many)
            assert said.count("  ready") == 2 and (world.folder / "labels.html").read_text().count("<article>") == 2
            await asyncio.to_thread(other.wait_for, b"[PIN?]")
            await run(mip, ROOT)
        finally:
            chip.stop()
            other.stop()

    embark(journey)
