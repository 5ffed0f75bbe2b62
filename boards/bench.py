"""`latchpin flash --many`: a bench of boards at once, each in a thread of its own, and a table of how it went.

Not for what happens to one board: flash.py.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

from boards.enrolment import Enrolment
from boards.serial_board import BoardError
from broker_bridge.registry import RegistryError

Say = Callable[[str], None]
FlashOne = Callable[[str, str, Say], Enrolment]


class Result(NamedTuple):
    """One line of the table. made: None where it failed, and `said` is why."""

    port: str
    made: Enrolment | None
    said: str
    seconds: float


class _Stop(BaseException):
    """Ctrl-C, in a thread that does not get it."""


def run(ports: list[str], alias: str, flash_one: FlashOne, say: Say) -> list[Result]:
    """`flash_one(port, alias, say)` on every port at once; {n} in the alias counts from 1. Ctrl-C leaves every board usable."""
    stop = threading.Event()

    def one(port: str, number: int) -> Result:
        name, began_s = alias.replace("{n}", str(number)), time.monotonic()

        def tell(text: str) -> None:
            if stop.is_set():
                raise _Stop
            if not text.startswith("["):
                say(f"{port}: {text}")

        made, said = None, "ready"
        try:
            made = flash_one(port, name, tell)
        except (BoardError, RegistryError) as error:
            said = str(error).removeprefix(f"{port}: ")
        except _Stop:
            said = "interrupted"
        return Result(port, made, said, time.monotonic() - began_s)

    with ThreadPoolExecutor(len(ports)) as pool:
        futures = [pool.submit(one, port, number) for number, port in enumerate(ports, 1)]
        try:
            wait(futures)
        except KeyboardInterrupt:
            stop.set()
            wait(futures)
            raise
    return [future.result() for future in futures]


def table(results: list[Result]) -> str:
    """How it went, a line for each board."""
    rows = [("port", "device", "alias", "seconds", "result")]
    for port, made, said, seconds in results:
        rows.append((port, made.device if made else "-", (made and made.alias) or "-", f"{seconds:.0f}", said))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows)
