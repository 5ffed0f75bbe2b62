"""The same load on 1, 2 and 4 replicas: what they carry together, what a request costs them, and how the share spreads sessions.

Not a proof that more replicas carry more: that takes more cores than one machine has for them beside broker, AS and devices.
"""

import asyncio
import collections
import statistics
import tempfile
from pathlib import Path
from typing import Any

from host_sim.broker import loop_factory
from tests.benchmarks import report
from tests.benchmarks.place import Place, broker_here
from tests.benchmarks.sealed_path import FULL, LOADS, Measured, handshakes

REPLICAS, DEVICES = (1, 2, 4), 64


def run(quick: bool) -> dict[str, Any]:
    """Prints the table and returns its figures."""
    broker, rounds, seconds = broker_here(), 1 if quick else 3, 0.5 if quick else 1.5
    found: dict[int, list[Measured]] = {count: [] for count in REPLICAS}
    spread: dict[int, list[int]] = {}
    for _ in range(rounds):
        for count in REPLICAS:
            with asyncio.Runner(loop_factory=loop_factory()) as runner, tempfile.TemporaryDirectory() as folder:
                measured, sessions = runner.run(_measure(Path(folder), broker, count, seconds))
            found[count].append(measured)
            spread[count] = sessions
    rows, figures = [], {}
    for count in REPLICAS:
        used = [sum(us for name, us in each.spent_us.items() if name.startswith("bridge")) for each in found[count]]
        others = [sum(us for name, us in each.spent_us.items() if not name.startswith("bridge")) for each in found[count]]
        rates = [each.per_s for each in found[count]]
        shown = " ".join(map(str, spread[count]))
        rows.append([count, report.spread(rates), report.spread(used), f"{statistics.median(others):.0f}", shown])
        figures[str(count)] = {"per_s": report.figure(rates, 1), "cpu_us": report.figure(used), "sessions": spread[count]}
    report.table(
        f"Replicas: CHALLENGE by {DEVICES} devices at once, {broker} broker; median of {rounds} rounds of {seconds:g} s",
        ["replicas", "a second", "CPU us: replicas together", "all others", "sessions of each"],
        rows,
        ["no process has a core of its own here: broker, AS, devices and replicas share all that the machine has"],
    )
    return figures


async def _measure(folder: Path, broker: str, count: int, seconds: float) -> tuple[Measured, list[int]]:
    async with Place(folder, broker, DEVICES, count, cores=(None, None)) as place:
        await handshakes(place, seconds / 3)
        measured = await LOADS[FULL](place, seconds)
        of_replica = collections.Counter(device.talk.replica for device in place.devices)
        return measured, sorted((of_replica[replica] for replica in place.replicas.values()), reverse=True)
