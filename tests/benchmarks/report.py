"""How figures are shown: the machine in one line, tables, medians with their spread.

Not for measuring: every section does that for itself.
"""

import os
import platform
import statistics
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tests.run_on_micropython import micropython

WIDTH = 120


def machine() -> str:
    """This machine and the two Pythons, in one line."""
    binary = micropython()
    small = "no micropython"
    if binary is not None:
        line = "import sys; print('MicroPython %d.%d.%d' % sys.implementation.version[:3])"
        small = subprocess.run([binary, "-c", line], capture_output=True, text=True, timeout=10).stdout.strip()
    cpu, cores = _cpu(), os.cpu_count()
    return (
        f"{cpu}, {cores} cores, {platform.system()} {platform.machine()}; CPython {platform.python_version()}, {small}. {load()}"
    )


def load() -> str:
    """How busy the machine is with other things: what stands between these figures and quiet ones."""
    try:
        one, five, _ = os.getloadavg()
    except OSError:
        return ""
    return f"Load {one:.1f} (1 min), {five:.1f} (5 min)."


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()) -> None:
    """Print a table: first column to the left, the others to the right, and below it how it was taken."""
    cells = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    print(f"\n{title}")
    for row in cells:
        shown = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(shown).rstrip())
    for note in notes:
        print(textwrap.fill(note, WIDTH, initial_indent="  * ", subsequent_indent="    "))
    print(end="", flush=True)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """ "median (least to most)"."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def figure(values: Sequence[float], digits: int = 3) -> dict[str, object]:
    """The same for a program."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "runs": len(values),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
