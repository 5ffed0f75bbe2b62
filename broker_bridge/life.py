"""The life of a service: its event loop, the signals that end it, and the one line that says that it can serve.

Not for what it serves, nor for what it does when it ends.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists (x1.7), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def collect_seldom() -> None:
    """For a service that has been set up: what its start made is not looked through again, nor what lives on its way every 700
    objects. Requests leave next to no garbage that refers to itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


class Turn(Generic[_T]):
    """What one turn of the event loop brings, handed to `handle` together: one system call for many packets, and one step's code
    in the processor's caches for many frames, where frame by frame each step would find those of the others there."""

    def __init__(self, handle: Callable[[list[_T]], None]) -> None:
        self._handle = handle
        self._brought: list[_T] = []

    def add(self, item: _T) -> None:
        self._brought.append(item)
        if len(self._brought) == 1:
            asyncio.get_running_loop().call_soon(self.end)

    def end(self) -> None:
        """Handles what there is."""
        brought, self._brought = self._brought, []
        if brought:
            self._handle(brought)


def told_to_stop() -> tuple[asyncio.Event, asyncio.Event]:
    """(stop, at once) for the loop that runs: SIGTERM sets the first, a second SIGTERM and Ctrl-C set both."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def told(number: signal.Signals) -> None:
        if number == signal.SIGINT or stop.is_set():
            at_once.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, told, number)
    return stop, at_once


def ready(what: str) -> None:
    """The one line that a service prints on stdout: it can serve, as `what`."""
    print(f"ready {what}", flush=True)
