"""`latchpin demo` and `make demo` as a person meets them: in a terminal, without one, and interrupted."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.journeys.conftest import BROKERS, RUNTIMES

LATCHPIN = str(Path(sys.executable).parent / "latchpin")


def descendants(pid: int) -> list[int]:
    """Every process below `pid`."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def alive(pids: list[int]) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    running = {int(pid) for pid, stat in map(str.split, listing.splitlines()) if not stat.startswith("Z")}
    return [pid for pid in pids if pid in running]


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_a_terminal_it_plays_the_person_too_and_exits_0(runtime: str, broker: str) -> None:
    done = subprocess.run(
        [LATCHPIN, "demo", "--runtime", runtime, "--broker", broker], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = ("[PIN?]", "same words on both sides", "[Typing error]", "[Ready]", "[Answer]", "The tool answered:")
    places = [done.stdout.find(part) for part in story]
    assert -1 not in places and places == sorted(places), done.stdout
    assert re.search(r"From the PIN to the token: \d+ ms", done.stdout)


def test_verbose_shows_the_exchange_as_decoded_with_secrets_masked() -> None:
    done = subprocess.run([LATCHPIN, "demo", "--pin", "auto", "--verbose"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("DISCOVER", "CHALLENGE", "PROMPT", "TOKEN", "TOKENS", "CALL"):
        assert re.search(rf"bridge \|.*\b{word}\b", done.stdout), word
    assert "***" in done.stdout
    # The one PIN in the story is the one that the AS tells the person, and the person types.
    pin = re.search(r"here is the PIN for \S+ (\d{3})-(\d{3})-(\d{3})", done.stdout)
    assert pin and "".join(pin.groups()) not in done.stdout


class Terminal:
    """`latchpin demo` in a pseudo-terminal, with somebody at it."""

    def __init__(self, *arguments: str) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [LATCHPIN, "demo", *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)

    def until(self, pattern: str, within_s: float = 120) -> str:
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            found = re.search(pattern, self.shown, re.S)
            if found:
                return found[0]
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if ready:
                try:
                    self.shown += os.read(self._master, 4096).decode(errors="replace").replace("\r", "")
                except OSError:  # the other end is closed
                    break
        found = re.search(pattern, self.shown, re.S)
        assert found, f"never saw {pattern} in:\n{self.shown}"
        return found[0]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal():
    opened: list[Terminal] = []

    def open_it(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


def test_in_a_terminal_it_asks_refuses_a_slip_and_takes_the_pin(terminal) -> None:
    demo = terminal()
    pin = re.sub(r"\D", "", demo.until(r"here is the PIN for [a-z0-9-]+: \d{3}-\d{3}-\d{3}").rpartition(":")[2])
    demo.until(r"Type the PIN")
    demo.type(pin[:8] + str((int(pin[8]) + 1) % 10) + "\n")
    demo.until(r"\[Typing error\]")
    demo.type(f"{pin[:3]}-{pin[3:6]}-{pin[6:]}\n")
    demo.until(r"The tool answered: .+")
    assert demo.process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_and_leaves_no_process(terminal, number: signal.Signals) -> None:
    demo = terminal("--keep", "--pin", "auto")
    demo.until(r"Still up")
    below = descendants(demo.process.pid)
    assert len(below) >= 5, "broker, AS, MCP server, bridge and device"
    demo.process.send_signal(number)
    demo.process.wait(30)
    assert alive(below) == []


def test_a_signal_in_the_middle_of_starting_leaves_no_process(terminal) -> None:
    demo = terminal("--pin", "auto")
    end = time.monotonic() + 20
    while len(below := descendants(demo.process.pid)) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 130
    assert alive(below) == []
