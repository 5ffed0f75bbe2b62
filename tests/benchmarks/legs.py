"""PIN-to-token time, split by leg: both Pythons on the device, both brokers, real processes over TLS on loopback.

Not for bytes (wire_bytes.py), and not for load: one device, one request at a time.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from host_sim.world import micropython_is_here
from tests.benchmarks import report
from tests.benchmarks.pairing import WATCHED, MeasuredWorld, Pairing, leg_of
from tests.brokers.running import have_mosquitto

# The device's states, in the order in which a pairing passes through them, as legs.
LEGS = {
    "OFFLINE": "link",
    "GREETING": "handshake",
    "PROVING": "handshake",
    "DISCOVERING": "discover",
    "CHALLENGING": "challenge",
    "ANSWERING": "answer",
    "REDEEMING": "token",
    "CALLING": "MCP call",
}
SAID = {
    "link": "TCP, TLS, CONNECT, SUBSCRIBE",
    "handshake": "hello to message_4",
    "discover": "DISCOVER to OFFER",
    "challenge": "CHALLENGE to PROMPT",
    "answer": "PIN's # to CODE",
    "token": "TOKEN to TOKENS",
    "MCP call": "CALL to RESULT, relayed",
}


NOTES = [
    "in all: from one change of the device's state to the next (on_device/watched.py); a reply is opened in its own leg",
    "agent: of that, inside Agent.handle: crypto and messages; OFFLINE's is nothing, the link is an adapter",
    "bridge to server: `ms` in the bridge's log, whole milliseconds: HTTPS to AS or MCP server and back",
    "rest: broker, TLS, MQTT, sockets, waking of four processes; noisy, all share the cores with whatever else runs",
    "one device pairs again and again, so the bridge's limit of 5 frames a second is raised; nothing else is changed",
]


def run(quick: bool) -> dict[str, Any]:
    """Prints a table for each broker and returns its figures."""
    brokers = ["embedded", *(["mosquitto"] if have_mosquitto() and not quick else [])]
    return {broker: asyncio.run(_measure(broker, 1 if quick else 7)) for broker in brokers}


async def _measure(broker: str, times: int) -> dict[str, Any]:
    runtimes = [*(["micropython"] if micropython_is_here() else []), "cpython"]
    pairings: dict[str, list[Pairing]] = {runtime: [] for runtime in runtimes}
    with tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        async with MeasuredWorld(Path(folder) / "world", WATCHED, broker=broker, runtime=runtimes[0]) as world:
            for number in range(times + 1):
                for runtime in runtimes:
                    pairing = await world.pair(runtime)
                    if number:  # the first fills the bridge's caches and opens its connections
                        pairings[runtime].append(pairing)
    figures: dict[str, Any] = {}
    for runtime in runtimes:
        figures[runtime] = _show(broker, runtime, runtime == runtimes[-1], [_split(pairing) for pairing in pairings[runtime]])
    return figures


def _split(pairing: Pairing) -> dict[str, tuple[float, float, float]]:
    """(ms in all, ms of it in the agent, ms of it between bridge and servers) of each leg."""
    split = {leg: [0.0, 0.0, 0.0] for leg in LEGS.values()}
    for state, took_us, thought_us in pairing.said:
        if state in LEGS:
            split[LEGS[state]][0] += took_us / 1000
            split[LEGS[state]][1] += thought_us / 1000
    for leg, request in zip(leg_of(pairing.requests), pairing.requests, strict=True):
        split[leg][2] += request.get("ms", 0)
    split["PIN to token"] = [one + other for one, other in zip(split["answer"], split["token"], strict=True)]
    return {leg: (parts[0], parts[1], parts[2]) for leg, parts in split.items()}


def _show(broker: str, runtime: str, last: bool, runs: list[dict[str, tuple[float, float, float]]]) -> dict[str, Any]:
    rows, figures = [], {}
    for leg in runs[0]:
        took, thought, served = ([run[leg][part] for run in runs] for part in range(3))
        rest = [run[leg][0] - run[leg][1] - run[leg][2] for run in runs]
        name = f"{leg}: {SAID[leg]}" if leg in SAID else f"{leg} (answer + token)"
        rows.append([name, *(report.spread(values, 1) for values in (took, thought, served, rest))])
        parts = {"ms": took, "agent_ms": thought, "bridge_to_server_ms": served, "rest_ms": rest}
        figures[leg] = {part: report.figure(values) for part, values in parts.items()}
    report.table(
        f"Legs: device on {runtime}, {broker} broker; ms, median of {len(runs)} pairings (least..most)",
        ["leg", "in all", "agent", "bridge to server", "rest"],
        rows,
        NOTES if last else [],
    )
    return figures
