"""The device's cryptography: milliseconds of each primitive on MicroPython, on CPython in pure Python, and with its C engine.

Not the truth about a chip: an ESP32 at 160 MHz takes about 130 to 190 times what the x64 binary takes.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from host_sim.world import ROOT
from tests.benchmarks import report
from tests.run_on_micropython import micropython

SCRIPT = Path(__file__).resolve().parent / "on_device" / "primitives.py"
WITHIN_S = 120


def run(quick: bool) -> dict[str, Any]:
    """Prints the table and returns its figures, in milliseconds."""
    binary = micropython()
    ways = {"CPython pure": ([sys.executable], "pure"), "CPython engine": ([sys.executable], "engine")}
    if binary is not None:
        ways = {"MicroPython": ([binary], "pure"), **ways}
    found: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    for _ in range(1 if quick else 5):
        for way, (command, mode) in ways.items():
            for name, times in _once(command, mode, 3 if quick else 7).items():
                found[way].setdefault(name, []).extend(times)
    names = list(found["CPython pure"])  # MicroPython's dicts have no order
    rows = [[name, *(report.spread(found[way][name], 3) for way in ways)] for name in names]
    if binary is not None:
        for row, name in zip(rows, names, strict=True):
            row.append(f"{statistics.median(found['MicroPython'][name]) / statistics.median(found['CPython pure'][name]):.2f}")
    runs = len(found["CPython pure"][names[0]])
    report.table(
        f"Crypto: ms a call, median of {runs} runs (least..most)",
        ["primitive", *ways, *(["MicroPython : CPython pure"] if binary is not None else [])],
        rows,
        [
            "CCM: AES-CCM-16-128-128, encrypt, 60 bytes of additional data; HKDF: extract and expand to 32 bytes; sign: RFC 6979",
            "all ways in turn within the same minute: the ratio stands on a busy machine, the least is nearest to a quiet one",
            "derived, not measured: an ESP32 at 160 MHz takes about 130 times (P-256) to 190 times (CCM) the MicroPython figure",
        ],
    )
    return {way: {name: report.figure(times, 5) for name, times in found[way].items()} for way in ways}


def _once(command: list[str], mode: str, runs: int) -> dict[str, list[float]]:
    device = ROOT / "device"
    done = subprocess.run(
        [*command, str(SCRIPT), mode, str(runs)],
        env={"MICROPYPATH": f"{device}:.frozen", "PYTHONPATH": str(device)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=WITHIN_S,
    )
    return json.loads(done.stdout)
