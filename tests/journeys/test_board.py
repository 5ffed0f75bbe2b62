"""A board without a board, all the way: flashed, enrolled, examined and paired over its serial line, in a world of real parts.

Not for flashing itself (tests/adapters/test_flash.py) nor for the doctor on a PC (test_doctor.py).
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import serial

from broker_bridge.registry import Registry
from host_sim.world import ROOT, World, micropython_is_here
from tests.adapters.pty_board import PtyBoard
from tests.journeys.conftest import NO_MICROPYTHON

pytestmark = pytest.mark.skipif(not micropython_is_here(), reason=NO_MICROPYTHON)


async def latchpin(*arguments: object) -> tuple[int | None, str]:
    """Exit code and what the command said."""
    command = [sys.executable, "-m", "host_sim", *map(str, arguments)]
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, **pipes)
    said, _ = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, said.decode()


async def flash(world: World, board: PtyBoard, *more: object) -> str:
    """What `latchpin flash` says that makes `board` a device of `world`; the world's own device stays off."""
    (kid, public) = json.loads((world.folder / "device/identity.json").read_text())["bridges"][0]
    settings, registry = world.folder / "device/settings.json", world.folder / "devices.toml"
    options = ("--settings", settings, "--bridge-key", f"{kid}:{public}", "--registry", registry, *more)
    code, said = await latchpin("flash", "--board", "UNIX", "--port", board.port, *options)
    assert code == 0, said
    return said


async def shown(board: PtyBoard, text: str, since: int = 0) -> None:
    await asyncio.to_thread(board.wait_for, text.encode(), 60, since)


def test_a_board_is_flashed_enrolled_examined_and_paired_over_its_serial_line(embark, tmp_path: Path) -> None:
    async def journey(world: World) -> None:
        (tmp_path / "board").mkdir()
        board = PtyBoard(tmp_path / "board")
        try:
            assert "enrolled in" in await flash(world, board, "--alias", "kitchen door")
            device = json.loads((board.directory / "identity.json").read_text())["device"]
            found = Registry(world.folder / "devices.toml").get(device)
            assert found is not None and found.alias == "kitchen door"
            await shown(board, "[PIN?]")

            code, said = await latchpin("doctor", "--port", board.port)
            assert code == 0 and said.count("ok    ") == 11 and "FAIL" not in said, said
            for secret in ("private", "mqtt_password"):
                assert json.loads((board.directory / "identity.json").read_text())[secret] not in said

            since = len(board.seen)
            await shown(board, "[PIN?]", since)  # the board went back to work
            with serial.Serial(os.path.realpath(board.port)) as terminal:
                terminal.write(((await world.issue_pin(device))["pin"] + "\r").encode())
                await shown(board, "[Ready]", since)
                await shown(board, "[Answer]", since)
            assert device.encode() in board.seen[board.seen.index(b"[Answer]", since) :]

            # New code, same tokens: it comes back without a PIN.
            since = len(board.seen)
            code, said = await latchpin("flash", "--board", "UNIX", "--port", board.port, "--update", "--source")
            assert code == 0, said
            await shown(board, "[Answer]", since)
            assert b"[PIN?]" not in board.seen[since:]
        finally:
            board.stop()

    embark(journey)


def test_on_the_board_too_the_doctor_names_the_step_that_fails(embark, tmp_path: Path) -> None:
    async def journey(world: World) -> None:
        (tmp_path / "board").mkdir()
        board = PtyBoard(tmp_path / "board")
        identity, settings = board.directory / "identity.json", board.directory / "settings.json"

        async def failing() -> str:
            code, said = await latchpin("doctor", "--port", board.port)
            assert code == 1 and said.count("FAIL  ") == 1 and "next: " in said, said
            return said.rpartition("FAIL  ")[2].partition(":")[0]

        try:
            await flash(world, board)
            good = json.loads(settings.read_text())
            for broker, step in (
                ({"host": "no-such-host.invalid"}, "name"),
                ({"port": 1}, "connection"),
                ({"pin": "00" * 32}, "certificate"),
            ):
                settings.write_text(json.dumps(good | {"broker": good["broker"] | broker}))
                assert await failing() == step
            settings.write_text("{")
            assert await failing() == "files"
            settings.write_text(json.dumps(good))
            whole = identity.read_text()
            identity.write_text(json.dumps(json.loads(whole) | {"mqtt_password": "wrong"}))
            assert await failing() == "login"
            identity.write_text(whole)
            await world.services["bridge"].end()
            assert await failing() == "hello"
            board.unplug()
            assert await failing() == "board"
            board.plug()
        finally:
            board.stop()

    embark(journey)
