"""The chip's clock, and whose certificates its dates decide about: before the time is known, a pin needs none.

Not for finding out what time it is: that is the agent's. Not for a computer, which keeps its own time.
"""

import time

from latchpin import BUILT_S

try:
    from machine import RTC
except ImportError:
    RTC = None


def start(settings: dict) -> list:
    """To be called first: the clock stands at the build date at least. Where it is no better than that, a server with `pin` and
    `ca` is known by its pin alone for now; gives [(server, ca)] of those, for when the time is known."""
    waiting = []
    if not set_clock(0, False):
        for server in (settings["broker"], settings["mcp"]):
            if server.get("pin") and server.get("ca"):
                waiting.append((server, server.pop("ca")))
    return waiting


def require_cas(waiting: list) -> None:
    """The time is known: from the next connection on those that wait have to satisfy their CA too."""
    while waiting:
        server, ca = waiting.pop()
        server["ca"] = ca
        server["due"] = True  # to be demanded of the context, where there is one already


def set_clock(now_s: int, sure: bool) -> bool:
    """now_s: seconds since 1970; sure: that is the time, else only the least that it can be. Before the build date it never is.

    Gives whether the time is known now."""
    if RTC is None:
        return True
    if now_s < BUILT_S:
        now_s = BUILT_S
        sure = False
    # Some ports count from 2000. Integers alone: a chip's floats are minutes off by now.
    epoch_s = 946_684_800 if time.gmtime(0)[0] == 2000 else 0
    if sure or now_s > int(time.time()) + epoch_s:
        year, month, day, hour, minute, second, weekday = time.gmtime(now_s - epoch_s)[:7]
        RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
    return sure
