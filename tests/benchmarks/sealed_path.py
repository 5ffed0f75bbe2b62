"""What a bridge carries, and where its time goes: the full path, the same path with payloads unopened, and a naive bridge.

Not a limit of the product: broker, bridge, AS and all devices share this machine. Every ratio is of two figures of one round.
"""

import asyncio
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from host_sim.broker import loop_factory
from latchpin.wire import bridge_side, topics
from tests.benchmarks import report
from tests.benchmarks.load import LoadDevice, Post, post_to
from tests.benchmarks.place import HERE, PASSWORD, Place, broker_here, on_core

DEVICES = 32
PAIRS, BLOCK_S, RESAMPLED, ADDED_P99_MS = 24, 0.75, 200, 10
ECHO, WIRE, PASS, NAIVE = "echo-1", "wire-1", "pass-1", "naive-1"
CHALLENGE = {
    "resource": 0,
    "scope": 0,
    "code_challenge": "c" * 43,
    "dpop": ".".join(("h" * 200, "c" * 200, "s" * 86)),
}
SEALED_CHALLENGE_BYTES = 1024
PLAIN = (
    b'{"client_id":"latchpin-device","response_type":"code","scope":"led:read","resource":"https://localhost/mcp","code_challenge":"%s",'
    b'"code_challenge_method":"S256","device_id":"lp-load-1","dpop":"%s"}'
) % (b"c" * 43, str(CHALLENGE["dpop"]).encode())

HANDSHAKE, DISCOVER = "handshake (4 messages)", "DISCOVER (sealed, answered from memory)"
BROKER, AS = "the broker alone: echo of 1 KB", "the AS alone: POST of 1 KB"
UNOPENED, FULL, BY_NAIVE = "unopened: in, POST, out", "full: open, check, POST, check, seal", "naive: paho, requests.post"


class Measured(NamedTuple):
    per_s: float
    spent_us: dict[str, float]


Load = Callable[[Place, float], Awaitable[Measured]]


async def count(place: Place, seconds: float, parts: list[str], begin: Callable[[LoadDevice], None]) -> Measured:
    """Things done a second by all devices, and what each of `parts` used for one."""
    with on_core(place.cores[1]):
        for device in place.devices:
            begin(device)
        await asyncio.sleep(0.2)
        before, used, began = sum(device.done for device in place.devices), place.spent_us(parts), time.monotonic()
        await asyncio.sleep(seconds)
        done, took = sum(device.done for device in place.devices) - before, time.monotonic() - began
        now = place.spent_us(parts)
        await asyncio.gather(*(device.rest() for device in place.devices))
    assert done, "nothing came back"
    return Measured(done / took, {name: (now[name] - used[name]) / done for name in parts})


async def broker_alone(place: Place, seconds: float) -> Measured:
    return await count(place, seconds, ["broker", "load"], lambda device: device.repeat(ECHO, bytes(SEALED_CHALLENGE_BYTES)))


async def as_alone(place: Place, seconds: float) -> Measured:
    with on_core(place.cores[1]):
        done, running = 0, True
        posts = [await post_to(place.as_port, place.ca, "/pass", bytes(SEALED_CHALLENGE_BYTES)) for _ in range(DEVICES)]

        def answered(post: Post) -> None:
            nonlocal done
            done += 1
            if running:
                post.again()

        for post in posts:
            post.answered = lambda post=post: answered(post)
            post.again()
        await asyncio.sleep(0.2)
        before, used, began = done, place.spent_us(["AS", "load"]), time.monotonic()
        await asyncio.sleep(seconds)
        counted, took, now = done - before, time.monotonic() - began, place.spent_us(["AS", "load"])
        running = False
        for post in posts:
            post.transport.close()
    return Measured(counted / took, {name: (now[name] - used[name]) / counted for name in used})


async def unopened(place: Place, seconds: float) -> Measured:
    parts = ["bridge-pass", "broker", "AS", "load"]
    return await count(place, seconds, parts, lambda device: device.repeat(PASS, bytes(SEALED_CHALLENGE_BYTES)))


async def naive(place: Place, seconds: float) -> Measured:
    return await count(place, seconds, ["bridge-naive", "broker", "AS", "load"], lambda device: device.repeat(NAIVE, PLAIN))


def sealed(kind: str, fields: dict[str, Any], reply: str) -> Load:
    async def load(place: Place, seconds: float) -> Measured:
        for device in place.devices:
            device.seal(int(seconds * 5000 / DEVICES), kind, fields)
        return await count(place, seconds, [*place.replicas, "broker", "AS", "load"], lambda device: device.ask(reply))

    return load


async def handshakes(place: Place, seconds: float) -> Measured:
    return await count(place, seconds, [*place.replicas, "broker", "load"], lambda device: device.shake())


LOADS: dict[str, Load] = {
    BROKER: broker_alone,
    AS: as_alone,
    UNOPENED: unopened,
    HANDSHAKE: handshakes,
    FULL: sealed("CHALLENGE", CHALLENGE, "PROMPT"),
    DISCOVER: sealed("DISCOVER", {"resource": 0}, "OFFER"),
    BY_NAIVE: naive,
}
RATIOS = (
    ("a", "full / unopened: what sealing and checking leave", 0.5),
    ("b", "unopened / the slower of broker and AS alone", None),
    ("c", "full / naive", 10),
)


def run(quick: bool) -> dict[str, Any]:
    """Prints the tables and returns their figures."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner, tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        return runner.run(_measure(Path(folder), broker_here(), 1 if quick else 5, 0.5 if quick else 1.5))


async def _measure(folder: Path, broker: str, rounds: int, seconds: float) -> dict[str, Any]:
    found: dict[str, list[Measured]] = {name: [] for name in LOADS}
    async with Place(folder, broker, DEVICES) as place:
        for name, program in (("bridge-pass", "passing_bridge.py"), ("bridge-naive", "naive_bridge.py")):
            replica = PASS if name == "bridge-pass" else NAIVE
            await place.start(name, sys.executable, str(HERE / program), "bridge-1.toml", replica, core=place.cores[0])
        echo = await place.link("bridge-echo", PASSWORD, [bridge_side.replica_filter(ECHO)])
        echo.heard = lambda topic, payload: echo.publish(topics.topic(topic.split("/")[2], "down"), payload[:256])
        for _ in range(rounds):
            for name, load in LOADS.items():
                found[name].append(await load(place, seconds))
        figures = _show(broker, found, rounds, seconds)
        tenth = statistics.median(measured.per_s for measured in found[FULL]) / 10
        figures["added_ms"] = await _latency(place, tenth, 2 if rounds == 1 else PAIRS)
    return figures


def _show(broker: str, found: dict[str, list[Measured]], rounds: int, seconds: float) -> dict[str, Any]:
    rows, figures = [], {}
    for name, measured in found.items():
        spent = {part: statistics.median(each.spent_us[part] for each in measured) for part in measured[0].spent_us}
        bridge = sum(used for part, used in spent.items() if part.startswith("bridge"))
        shown = [f"{spent[part]:.0f}" if part in spent else "-" for part in ("broker", "AS", "load")]
        rates = [each.per_s for each in measured]
        busy = f"{bridge * statistics.median(rates) / 1e4:.0f} %" if bridge else "-"
        rows.append([name, report.spread(rates), f"{bridge:.0f}" if bridge else "-", busy, *shown])
        figures[name] = {"per_s": report.figure(rates, 1), "cpu_us": {part: round(used) for part, used in spent.items()}}
    report.table(
        f"Bridge: {DEVICES} devices at once, {broker} broker; round trips a second, median of {rounds} rounds of {seconds:g} s",
        ["what", "a second", "CPU us: bridge", "of its core", "broker", "AS", "devices"],
        rows,
        [
            "one of each in turn in every round; all over TLS with QoS 1; 1 KB up, 256 B down but for the naive one",
            "the bridge has a core of its own; broker, AS and devices share the other. Near 100 % of its core the bridge is what "
            "is measured; else it waits for the others, or for whoever else uses this machine, and the ratio of CPU says more",
            "unopened: the bridge's own clients, log and numbers, and nothing done to the payload (passing_bridge.py)",
            "naive: JSON in plaintext, a TLS connection for each POST, as requests.post makes it (naive_bridge.py)",
            "the AS says the same 403 at once (trivial_as.py); devices seal ahead and open one answer in 64 (load.py)",
        ],
    )
    ratio_rows = []
    for letter, says, at_least in RATIOS:
        rates = {name: [each.per_s for each in found[name]] for name in found}
        above, below = {
            "a": (rates[FULL], rates[UNOPENED]),
            "b": (rates[UNOPENED], [min(pair) for pair in zip(rates[BROKER], rates[AS], strict=True)]),
            "c": (rates[FULL], rates[BY_NAIVE]),
        }[letter]
        ratios = [one / other for one, other in zip(above, below, strict=True)]
        ratio_rows.append([f"({letter}) {says}", report.spread(ratios, 2), _cpu(letter, found), at_least or "-"])
        figures[f"ratio_{letter}"] = report.figure(ratios)
    report.table("Ratios of these, round by round", ["", "of rates", "of CPU in the bridge", "at least"], ratio_rows)
    return figures


def _cpu(letter: str, found: dict[str, list[Measured]]) -> str:
    def bridge(name: str) -> list[float]:
        return [sum(used for part, used in each.spent_us.items() if part.startswith("bridge")) for each in found[name]]

    names = {"a": (UNOPENED, FULL), "c": (BY_NAIVE, FULL)}.get(letter)
    if names is None:
        return "-"
    return report.spread([one / max(1, other) for one, other in zip(bridge(names[0]), bridge(names[1]), strict=True)], 2)


async def _latency(place: Place, per_s: float, pairs: int) -> dict[str, Any]:
    """p50 and p99 at so many requests a second, with the bridge and without any, in pairs of short blocks."""
    with on_core(place.cores[1]):
        wire = await place.link("bridge-wire", PASSWORD, [bridge_side.replica_filter(WIRE)])
        posts = {
            device.device: await post_to(place.as_port, place.ca, "/pass", bytes(SEALED_CHALLENGE_BYTES))
            for device in place.devices
        }

        def carry(topic: str, payload: bytes) -> None:
            name = topic.split("/")[2]
            posts[name].answered = lambda: wire.publish(topics.topic(name, "down"), payload[:256])
            posts[name].again()

        wire.heard = carry
        taken: list[Pair] = []
        for number in range(pairs):
            took = {}
            for by_bridge in (True, False) if number % 2 else (False, True):
                took[by_bridge] = await _at_rate(place.devices, by_bridge, per_s, BLOCK_S)
            taken.append((took[True], took[False]))
    # Without against without: what two halves of the same thing differ by is what this machine cannot tell.
    halves = [(one[1], other[1]) for one, other in zip(taken[::2], taken[1::2], strict=False)]
    rows, figures = [], {}
    for percent in (50, 99):
        ways = [_percentile([took for pair in taken for took in pair[way]], percent) for way in (0, 1)]
        added, told_apart = _added(taken, percent), _added(halves, percent)
        shown = [f"{middle:.1f} ({least:.1f}..{most:.1f})" for middle, least, most in (added, told_apart)]
        rows.append([f"p{percent}", *(f"{way:.1f}" for way in ways), *shown, ADDED_P99_MS if percent == 99 else "-"])
        figures[f"p{percent}"] = dict(zip(("added", "least", "most"), (round(figure, 2) for figure in added), strict=True))
    samples = sum(len(pair[0]) for pair in taken)
    report.table(
        f"(d) Latency at a tenth of that load, {per_s:.0f} a second, evenly; ms, {samples} requests each way in {pairs} blocks",
        ["", "with the bridge", "without", "added", "without against itself", "below"],
        rows,
        [
            "without: the same broker, devices and AS, with a bare relay in the devices' process in the bridge's place",
            f"in brackets: nine in ten of {RESAMPLED} drawings of the pairs with replacement; what the last difference has of it "
            "is noise of this machine",
        ],
    )
    return figures


Pair = tuple[list[float], list[float]]


def _added(pairs: list[Pair], percent: int) -> tuple[float, float, float]:
    """(what the first of each pair has more than the second, and between what nine in ten drawings of the pairs find it)"""

    def difference(some: list[Pair]) -> float:
        one, other = (_percentile([took for pair in some for took in pair[way]], percent) for way in (0, 1))
        return one - other

    chance = random.Random(1)
    found = sorted(difference(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLED))
    return difference(pairs), _percentile(found, 5), _percentile(found, 95)


async def _at_rate(devices: list[LoadDevice], by_bridge: bool, per_s: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    loop, took = asyncio.get_running_loop(), list[float]()
    number, all_of_them = 0, int(per_s * seconds)
    idle = list(devices)
    for device in devices:
        device.seal(all_of_them // len(devices) + 8, "CHALLENGE", CHALLENGE)
    gc.collect()
    gc.disable()  # pauses of the devices' process are nobody's latency
    began = loop.time()
    finished = asyncio.Event()

    def say() -> None:
        nonlocal number
        now = loop.time()
        while number < all_of_them and idle and began + number / per_s <= now:
            device, due = idle.pop(0), began + number / per_s
            number += 1
            if by_bridge:
                device.ask("PROMPT")
            else:
                device.repeat(WIRE, bytes(SEALED_CHALLENGE_BYTES))
            device.once(lambda device=device, due=due: done(device, due))
        if number < all_of_them:
            loop.call_at(max(now + 0.0005, began + number / per_s), say)

    def done(device: LoadDevice, due: float) -> None:
        took.append(1000 * (loop.time() - due))
        idle.append(device)
        if len(took) == all_of_them:
            finished.set()

    say()
    try:
        await asyncio.wait_for(finished.wait(), seconds + 60)
    finally:
        gc.enable()
    return took


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
