"""The life of a service: its event loop, the signals that end it, and the one line that says that it can serve.

Not for what it serves, nor for what it does when it ends.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists (x1.7), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and Ctrl-C set, for the loop that runs."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def ready(what: str) -> None:
    """The one line that a service prints on stdout: it can serve, as `what`."""
    print(f"ready {what}", flush=True)
