"""The boards as data: complete, consistent with the tree, and each main.py started on MicroPython with simulated parts.

Not for real chips.
"""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from boards import package
from boards.package import board_files, names, package_files
from latchpin import __version__
from tests.adapters.support import DEVICE, HERE, ROOT, command, environment

BOARDS = ROOT / "boards"


def test_package_json_and_manifest_say_what_is_in_the_tree():
    assert (DEVICE / "package.json").read_text() == package.package_json(), "run python -m boards.package"
    assert (DEVICE / "manifest.py").read_text() == package.manifest(), "run python -m boards.package"
    listed = {source for source, _ in json.loads((DEVICE / "package.json").read_text())["urls"]}
    there = {path.relative_to(DEVICE).as_posix() for path in DEVICE.rglob("*.py")} - {"manifest.py"}
    assert there - listed == {"latchpin/host_engine.py", "latchpin/wire/bridge_side.py"} and listed <= there


def test_the_version_is_the_same_everywhere():
    assert json.loads((DEVICE / "package.json").read_text())["version"] == __version__
    assert f'version="{__version__}"' in (DEVICE / "manifest.py").read_text()


def test_the_manifests_are_followed_to_files_that_exist():
    seen = []

    def follow(path: Path) -> None:
        def include(name: str) -> None:
            if not name.startswith("$("):
                follow(path.parent / name)

        def package(name: str, files: tuple[str, ...], base_path: str) -> None:
            seen.extend(path.parent / base_path / name / file for file in files)

        def module(name: str) -> None:
            seen.append(path.parent / name)

        known = {"include": include, "package": package, "module": module, "metadata": lambda **_: None}
        exec(compile(path.read_text(), path, "exec"), known)

    for name in names():
        follow(BOARDS / name / "manifest.py")
    assert seen and all(path.exists() for path in seen)


@pytest.mark.parametrize("name", names())
def test_a_board_is_whole(name: str):
    folder = BOARDS / name
    expected = {"board.json", "board.md", "main.py", "manifest.py"} | ({"pins.py"} if name != "UNIX" else set())
    assert {path.name for path in folder.iterdir() if path.is_file()} == expected
    described = json.loads((folder / "board.json").read_text())
    form = {"deploy", "deploy_options", "docs", "features", "images", "mcu", "product", "thumbnail", "url", "vendor"}
    assert set(described) == form
    if described["mcu"].startswith("esp32"):
        assert int(described["deploy_options"]["flash_offset"], 16) in (0, 0x1000)
    assert board_files(name)["main.py"]
    for path in folder.glob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.parametrize("name", [name for name in names() if name != "UNIX"])
def test_pins_are_named_and_used_once(name: str):
    module: dict = {}
    exec((BOARDS / name / "pins.py").read_text(), module)
    numbers = []
    for key, value in module.items():
        if key.isupper() and key != "LCD_ADDRESS":
            numbers += value if isinstance(value, tuple) else [value]
            assert key in (BOARDS / name / "main.py").read_text()
    assert len(numbers) == len(set(numbers))
    assert not set(numbers) & ({0, 2, 5, 12, 15, 1, 3} | set(range(6, 12)) | set(range(34, 40))), (
        "strapping, serial, flash, no pull-up"
    )
    text = (BOARDS / name / "board.md").read_text()
    for number in numbers:
        assert f"GPIO{number}" in text, number


@pytest.mark.parametrize("python", ["micropython"], indirect=True)
@pytest.mark.parametrize("name", [name for name in names() if name != "UNIX"])
@pytest.mark.parametrize("state", ["empty", "ready"])
def test_main_starts_and_says_what_it_needs(python: str, name: str, state: str, tmp_path: Path):
    for file, data in (board_files(name) | package_files(False)).items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if state == "ready":
        settings = {
            "broker": {"host": "127.0.0.1", "port": 1, "pin": "a5" * 32},
            "wifi": [{"ssid": "home", "password": "secret words"}],
        }
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        bridge = f"2:{(HERE / 'bridge_public.hex').read_text().strip()}"
        made = [*command(python, BOARDS / "UNIX" / "main.py"), "enrol", bridge]
        subprocess.run(made, cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=30)
    paths = f".frozen:lib:{HERE / 'simulated'}"
    with subprocess.Popen(
        command(python, tmp_path / "main.py"),
        cwd=tmp_path,
        env=environment() | {"MICROPYPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        expected = b"[Offline]" if state == "ready" else b"[Set-up] identity.json: no such file"
        seen = b""
        try:
            while expected not in seen:
                line = process.stdout.readline()
                seen += line
                assert line, seen
        finally:
            process.kill()
    assert b"secret words" not in seen and b"Traceback" not in seen
    joined = tmp_path / "joined.txt"
    assert not joined.exists() or joined.read_text() == "home"
