"""What a board's board.md says that can be computed: the drawing, from its wiring table; the cost, measured.

`python -m tests.adapters.board_md` writes both into every board.md; test_boards.py compares. Not for what a person has to know.
"""

import functools
import json
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from boards.package import BOARDS, ROOT, board_files, names, package_files
from tests.adapters.support import HERE, command

DRAWN = "drawn from the table by tests/adapters/board_md.py"
COSTS = "measured by tests/adapters/board_md.py"
SIMULATED = f"{HERE / 'simulated'}:{ROOT / 'tests' / 'both_runtimes'}"
BUDGETS = tomllib.loads((ROOT / "tests" / "house_rules" / "budgets.toml").read_text())
# The part of an x64 heap that the same takes where a word has 32 bits, and littlefs' block on a flash chip.
ON_32_BITS, BLOCK = 0.62, 4_096
# The smallest file system that MicroPython makes on 4 MB of flash: ports/esp32/partitions-4MiB.csv.
FLASH_BYTES = 0xF0000
PSRAM_BYTES = 2 << 20


class Cost(NamedTuple):
    """flash_bytes: blocks of the file system; heap_bytes: of a 32-bit heap while it pairs; parts_bytes: of that, the board's own
    parts."""

    flash_bytes: int
    heap_bytes: int
    parts_bytes: int


def wiring(name: str) -> list[list[str]]:
    """The rows of the wiring table: part, pin there, pin of the chip; a part's name stands in its first row only."""
    rows: list[list[str]] = []
    table = re.search(
        r"^\| part \| pin there \| pin of .*\n\|[-|]+\n((?:\|.*\n)+)", (BOARDS / name / "board.md").read_text(), re.M
    )
    for line in table[1].splitlines() if table else []:
        part, there, here = (cell.strip() for cell in line.strip("|").split("|"))
        rows.append([part or rows[-1][0], there, here])
    return rows


def drawing(name: str) -> str:
    """Half of the parts to the left of the chip, half to the right."""
    rows = wiring(name)
    parts = list(dict.fromkeys(part for part, _, _ in rows))
    left = [row for row in rows if row[0] in parts[: (len(parts) + 1) // 2]]
    right = [row for row in rows if row not in left]
    height = max(len(left), len(right))
    left += [["", "", ""]] * (height - len(left))
    right += [["", "", ""]] * (height - len(right))
    ends = [f"{part}: {there}" if part else "" for part, there, _ in left]
    wide, inner = max(map(len, ends)), [max(len(row[2]) for row in side) for side in (left, right)]
    edge = " " * (wide + 4) + "+" + "-" * (sum(inner) + 6) + "+"
    lines = [edge]
    for end, one, other in zip(ends, left, right, strict=True):
        line = f"{end:>{wide}} {'---' if end else '   '}| {one[2]:<{inner[0]}}    {other[2]:>{inner[1]}} |"
        lines.append(line + (f"--- {other[0]}: {other[1]}" if other[0] else ""))
    return "```\n" + "\n".join([*lines, edge]) + "\n```\n"


_WEIGH = """
import gc, sys
from latchpin.runner import Runner
from latchpin.wire.topics import topic
from latchpin.adapters import hands, mqtt_link, start
from latchpin.adapters.serial_console import SerialConsole
def weigh():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()
import machine, network
class View:
    code, title, text, entry = 'waiting', 'PIN?', 'Ask for a PIN for this device; word: amber fox', '***-***-***'
    get = {}.get
async def look():
    made = kept()
    for screen in made[1]:
        screen.show(View)
    await asyncio.sleep(0)
    keep.append(made)
import asyncio
keep = []
kept = None
def remember(Runner, topic, parts):
    global kept
    kept = parts
start.start = remember
before = weigh()
import main
from latchpin.adapters.wifi import Wifi
radio = Wifi([], 'lp-test', network.WLAN(0))
asyncio.run(look())
machine.forget()
print(weigh() - before)
"""


@functools.cache
def cost(name: str, lib: Path) -> Cost:
    """lib: the compiled package's folder. Without files of the person's: settings.json, identity.json, the journal, a CA."""
    files = [len(data) for data in board_files(name).values()] + [path.stat().st_size for path in lib.rglob("*.mpy")]
    folders = 1 + sum(path.is_dir() for path in lib.rglob("*"))
    flash = sum(-(-size // BLOCK) * BLOCK for size in files) + folders * 2 * BLOCK
    with tempfile.TemporaryDirectory() as folder:
        for file, data in board_files(name).items():
            (Path(folder) / file).write_bytes(data)
        script = Path(folder) / "weigh.py"
        script.write_text(_WEIGH)
        done = subprocess.run(
            command("micropython", script, ("-X", "heapsize=4M")),
            cwd=folder,
            env={"MICROPYPATH": f".frozen:{lib}:{SIMULATED}:."},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = int(int(done.stdout.splitlines()[-1]) * ON_32_BITS)
    return Cost(flash, int(smallest_heap() * ON_32_BITS) + parts, parts)


def smallest_heap() -> int:
    """Bytes of the smallest x64 heap in which a pairing and a tool call must pass, with the serial console (budgets.toml)."""
    return min(int(heap.removesuffix("k")) * 1024 for heap in BUDGETS["heaps"])


def free_heap(name: str) -> tuple[int, str]:
    """Bytes for Python beside Wi-Fi and one TLS socket, and where they are."""
    described = json.loads((BOARDS / name / "board.json").read_text())
    chip = tomllib.loads((BOARDS / "chips.toml").read_text())[described["mcu"]]
    if "External RAM" in described["features"]:
        return PSRAM_BYTES, "of PSRAM at least; Wi-Fi and TLS stay in the chip's own"
    return chip["heap_bytes"], "with Wi-Fi and one TLS socket ([`chips.toml`](../chips.toml) says whose figure)"


def costs(name: str, lib: Path) -> str:
    found = cost(name, lib)
    free, where = free_heap(name)
    flash, heap, parts, free = (round(number / 1024) for number in (found.flash_bytes, found.heap_bytes, found.parts_bytes, free))
    return (
        "| cost | estimate |\n|---|---|\n"
        f"| flash | about {flash} KB of the file system, in blocks of 4 KB |\n"
        f"| heap | about {heap} KB while it pairs, {parts} KB of it for the parts above |\n"
        f"| free for it | {free} KB {where} |\n"
        "\nNo board was at hand: measured on the x64 unix build, of whose heap a 32-bit board needs about 62 %.\n"
    )


def between(text: str, what: str) -> str:
    """What stands between `<!-- what -->` and the next `<!-- end -->`."""
    found = re.search(rf"<!-- {re.escape(what)} -->\n(.*?)<!-- end -->", text, re.S)
    assert found, f"no <!-- {what} -->"
    return found[1]


def put(text: str, what: str, new: str) -> str:
    """`text` with `new` between these marks."""
    return text.replace(f"<!-- {what} -->\n{between(text, what)}<!-- end -->", f"<!-- {what} -->\n{new}<!-- end -->")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file, data in package_files(False).items():
            (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).write_bytes(data)
        for name in names():
            if name == "UNIX":
                continue
            path = BOARDS / name / "board.md"
            text = path.read_text()
            if wiring(name):
                text = put(text, DRAWN, drawing(name))
            text = put(text, COSTS, costs(name, Path(folder) / "lib"))
            path.write_text(text)
            print(name, cost(name, Path(folder) / "lib"))


if __name__ == "__main__":
    main()
