"""adapters/serial_console.py over a pipe and over a pseudo-terminal, on both Pythons.

Not for what keys mean: the agent's tests have that.
"""

import contextlib
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.adapters.support import HERE, ROOT, command, environment

SCRIPT = HERE / "on_device" / "console.py"


def over_a_pipe(python: str, typed: bytes) -> list[str]:
    done = subprocess.run(command(python, SCRIPT), env=environment(), input=typed, capture_output=True, timeout=20)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.decode().splitlines()


def shown(lines: list[str]) -> str:
    return "".join(line.split()[1] for line in lines if line.startswith("[Key]"))


def test_keys_come_one_by_one_with_enter_and_backspace_translated(python: str):
    lines = over_a_pipe(python, b"0123456789*#abd\x08\x7f\n\rq")
    assert shown(lines) == "abcdefghij*#ABD**##"
    assert lines[-1] == "end"


def test_a_line_is_printed_only_when_it_changed(python: str):
    lines = over_a_pipe(python, b"Q")
    assert lines == ["[PIN?] word: amber fox", "end"]


def test_a_view_that_is_asked_for_again_is_printed_again(python: str):
    lines = over_a_pipe(python, b"1rr2q")
    assert lines[1:] == ["[Key] b *", "[Key] b *", "[Key] b *", "[Key] c", "end"]


def test_no_digit_is_ever_printed_in_an_entry(python: str):
    lines = over_a_pipe(python, b"1q")
    assert lines[1] == "[Key] b *"


def test_cr_lf_is_one_enter(python: str):
    assert shown(over_a_pipe(python, b"\r\n5\r\r\n\n\nq")) == "#f####"


def test_other_bytes_are_skipped(python: str):
    assert shown(over_a_pipe(python, b"\x00\x1b[A\xff\xc3\xa4 ?1q")) == "Ab"


def test_a_pipe_that_is_closed_costs_no_cpu_and_no_keys(python: str):
    with subprocess.Popen(command(python, SCRIPT), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"7")
        process.stdin.close()
        process.stdout.readline()
        assert process.stdout.readline() == b"[Key] h *\n"
        ticks = Path(f"/proc/{process.pid}/stat")
        if not ticks.exists():
            pytest.skip("no /proc on this machine: the CPU time of a process is not to be had")
        before = sum(map(int, ticks.read_text().split()[13:15]))
        time.sleep(1)
        after = sum(map(int, ticks.read_text().split()[13:15]))
        process.kill()
    assert after - before < os.sysconf("SC_CLK_TCK") * 0.2


def test_in_a_terminal_the_unix_board_echoes_no_key_and_restores_the_terminal(python: str, tmp_path: Path):
    import termios

    board = ROOT / "boards" / "UNIX" / "main.py"
    bridge = "2:" + (ROOT / "tests/adapters/bridge_public.hex").read_text().strip()
    made = subprocess.run(
        [*command(python, board), "enrol", bridge], env=environment(), cwd=tmp_path, capture_output=True, timeout=20
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert (tmp_path / "identity.json").stat().st_mode & 0o077 == 0
    settings = '{"broker": {"host": "localhost", "port": 1, "pin": "' + "a5" * 32 + '"}}'
    (tmp_path / "settings.json").write_text(settings)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with subprocess.Popen(
        command(python, board), env=environment(), cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        seen = b""
        deadline = time.monotonic() + 30
        while b"[Offline]" not in seen and time.monotonic() < deadline:
            seen += os.read(master, 1024)
        os.write(master, b"73951")
        time.sleep(0.3)
        process.send_signal(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        assert process.wait() == 0, seen
    os.set_blocking(master, False)
    with contextlib.suppress(BlockingIOError):
        seen += os.read(master, 65_536)
    assert b"[Offline]" in seen and b"73951" not in seen and b"Traceback" not in seen
    assert termios.tcgetattr(slave)[:4] == before[:4]
    os.close(master)
    os.close(slave)
