"""The boards as data: complete, consistent with the tree, wired to pins that are free, and each main.py started.

Not for real chips, nor for whole pairings: tests/journeys/test_boards.py.
"""

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from boards import package
from boards.package import BOARDS, board_files, names, package_files
from latchpin import __version__
from latchpin.adapters.buzzer import TONES
from latchpin.adapters.led import OTHER, PATTERNS
from latchpin.agent import prompts
from tests.adapters import board_md
from tests.adapters.support import DEVICE, command, environment

# That file wants a chip's framebuf.
COLOURS = ast.literal_eval(
    re.search(r"^COLOURS = (\{.*?^\})", (DEVICE / "latchpin" / "adapters" / "lcd_st7789.py").read_text(), re.S | re.M)[1]  # type: ignore
)
CHIPS = tomllib.loads((BOARDS / "chips.toml").read_text())
ON_CHIPS = [name for name in names() if name != "UNIX"]
# What tools/autobuild/build-downloads.py of MicroPython knows; it refuses a board with any other.
FEATURES = {
    *("BLE", "CAN", "Ethernet", "LoRa", "USB", "USB-C", "WiFi", "Dual-core", "External Flash", "External RAM", "Feather"),
    *("JST-PH", "JST-SH", "mikroBUS", "microSD", "SDCard", "Environment Sensor", "IMU", "Audio Codec", "Battery Charging"),
    *("Camera", "DAC", "Display", "Microphone", "PoE", "RGB LED", "RGB WS2812B LED", "Secure Element"),
}
# Pins that the maker of a board has soldered to something, although the chip reads them at reset.
SOLDERED = {
    "M5STICKC_PLUS2": {2, 5, 12, 15},  # buzzer, and three of the display's inputs: nothing drives them at reset
    "LILYGO_T_DISPLAY_S3": {0, 45, 46},  # the boot button, and two of the display's inputs
    "LILYGO_T_DISPLAY_S3_TOUCH": {45, 46},
}
# Keys of pins.py that are no pins.
NO_PIN = ("_ADDRESS", "_PLACE")


def pins_of(name: str) -> dict[str, list[int]]:
    module: dict = {}
    exec((BOARDS / name / "pins.py").read_text(), module)
    named = {key: value for key, value in module.items() if key.isupper() and not key.endswith(NO_PIN)}
    return {key: list(value) if isinstance(value, tuple) else [value] for key, value in named.items()}


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
    assert set(described) == form and set(described["features"]) <= FEATURES
    assert described["features"] == sorted(described["features"])
    assert all((folder / file).is_file() for file in described["deploy"])
    if name != "UNIX":
        assert described["mcu"] in CHIPS
        # ESP-IDF, bootloader of each chip.
        assert int(described["deploy_options"]["flash_offset"], 16) == (0x1000 if described["mcu"] in ("esp32", "esp32s2") else 0)
    assert board_files(name)["main.py"]
    for path in folder.glob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.parametrize("name", names())
def test_every_board_is_in_the_readme(name: str):
    assert f"[`{name}`]({name}/board.md)" in (BOARDS / "README.md").read_text()


def test_the_readme_tells_the_lamp_the_colour_and_the_tone_of_each_state():
    coloured = {0x07FF: "cyan", 0xFFE0: "yellow", 0xFC00: "orange", 0xF81F: "magenta", 0xF800: "red", 0x8410: "grey"}
    coloured |= {0x07E0: "green", 0xFFFF: "white"}
    counted = {0: "none", 1: "one", 2: "two", 3: "three"}
    lamps = {
        "on": (1, 0),
        "slow, one second on, one off": (1000, 1000),
        "two short": (150, 150, 150, 900),
        "three short": (150, 150, 150, 150, 150, 900),
        "long, short": (600, 200, 150, 900),
        "long, long": (600, 200, 600, 1500),
        "one flash every two seconds": (80, 2000),
        "two flashes every two seconds": (80, 150, 80, 2000),
    }
    told: dict[str, tuple[str, str, str]] = {}
    for line in (BOARDS / "README.md").read_text().partition("| state | title |")[2].partition("\n\n")[0].splitlines()[2:]:
        _, titles, lamp, colour, tone = (cell.strip() for cell in line.strip("|").split("|"))
        told |= {title: (lamp, colour, tone.partition(",")[0]) for title in titles.split(", ")}
    titles = dict(line.split("|")[:2] for line in prompts.TEXTS.strip().splitlines())
    told_apart = ("waiting", "typo", "wrong_answer", "expired", "locked", "offline", "ready")
    assert len({told[titles[code]] for code in told_apart}) == len({titles[code] for code in told_apart}) == 7
    for code in {*PATTERNS, *TONES, *COLOURS} - {"answer", "calling", "short"}:
        lamp, colour, tone = told[titles[code]]
        assert lamps[lamp] == PATTERNS.get(code, OTHER) and colour == coloured[COLOURS.get(code, 0xFFFF)], code
        assert tone == counted[sum(hertz > 0 for hertz in TONES.get(code, ())[::2])] or code == "silence", code


@pytest.mark.parametrize("name", ON_CHIPS)
def test_pins_are_free_able_and_used_once(name: str):
    chip = CHIPS[json.loads((BOARDS / name / "board.json").read_text())["mcu"]]
    numbers = pins_of(name)
    every = [number for pins in numbers.values() for number in pins]
    assert len(every) == len(set(every)) and all(0 <= number <= chip["pins"] for number in every)
    assert not set(every) & set(chip["taken"]), "flash, USB or serial line"
    assert set(every) & set(chip["strapping"]) == SOLDERED.get(name, set()), "read at reset"
    for key, pins in numbers.items():
        # A button has a resistor of its own there.
        assert not set(pins) & set(chip["input_only"]) or key.startswith("BUTTON"), key
    main = (BOARDS / name / "main.py").read_text()
    assert all(f"pins.{key}" in main for key in numbers)


@pytest.mark.parametrize("name", ON_CHIPS)
def test_the_wiring_in_board_md_is_that_of_pins_py(name: str):
    wired = [number for row in board_md.wiring(name) for number in re.findall(r"GPIO(\d+)", row[2])]
    assert sorted(map(int, wired)) == sorted(number for pins in pins_of(name).values() for number in pins)


@pytest.mark.parametrize("name", ON_CHIPS)
def test_the_drawing_in_board_md_is_drawn_from_its_table(name: str):
    text = (BOARDS / name / "board.md").read_text()
    if not board_md.wiring(name):
        assert "Nothing to wire" in text
    else:
        assert board_md.drawing(name) == board_md.between(text, board_md.DRAWN), "run python -m tests.adapters.board_md"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it lies on a board, compiled once."""
    folder = tmp_path_factory.mktemp("compiled")
    for file, data in package_files(False).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "lib"


@pytest.mark.parametrize("name", ON_CHIPS)
def test_a_board_fits_its_chip_with_wifi_and_one_tls_socket(name: str, lib: Path):
    cost = board_md.cost(name, lib)
    assert cost.heap_bytes <= board_md.free_heap(name)[0], cost
    assert cost.flash_bytes <= board_md.FLASH_BYTES, cost


@pytest.mark.parametrize("name", ON_CHIPS)
def test_board_md_says_what_the_board_costs(name: str, lib: Path):
    cost = board_md.cost(name, lib)
    said = board_md.between((BOARDS / name / "board.md").read_text(), board_md.COSTS)
    flash_kb, heap_kb = (int(number) for number in re.findall(r"about (\d+) KB", said)[:2])
    # Within a tenth: every commit moves these figures a little.
    assert abs(flash_kb * 1024 - cost.flash_bytes) <= cost.flash_bytes // 10, "run python -m tests.adapters.board_md"
    assert abs(heap_kb * 1024 - cost.heap_bytes) <= cost.heap_bytes // 10, "run python -m tests.adapters.board_md"


@pytest.mark.parametrize("python", ["micropython"], indirect=True)
@pytest.mark.parametrize("name", ON_CHIPS)
def test_main_starts_and_says_what_is_missing_on_every_screen(python: str, name: str, lib: Path, tmp_path: Path):
    for file, data in board_files(name).items():
        (tmp_path / file).write_bytes(data)
    with subprocess.Popen(
        command(python, Path("main.py")),
        cwd=tmp_path,
        env=environment() | {"MICROPYPATH": f".frozen:{lib}:{board_md.SIMULATED}:."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            seen = line = process.stdout.readline()
            assert line.startswith(b"[Set-up] identity.json: no such file"), line + process.stdout.read()
        finally:
            process.kill()
    assert b"Traceback" not in seen
