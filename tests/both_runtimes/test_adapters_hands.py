"""adapters/hands.py: every part gets what is its own, and the clock is set as an ESP32 wants it.

Not for connections: tests/adapters/test_mqtt_link.py has those.
"""

import os
import sys
import time

from latchpin.adapters.hands import Hands
from latchpin.adapters.identity import Identity

_made = []


def folder():
    try:
        from tempfile import mkdtemp

        return mkdtemp()
    except ImportError:
        _made.append(0)
        name = "hands-%d" % len(_made)
        os.mkdir(name)
        return name


class Part:
    def __init__(self):
        self.seen = []

    def show(self, view):
        self.seen.append(view)

    async def read_key(self):
        return "5"


def made(directory=".", screens=()):
    identity = Identity("lp-test", b"\x01", bytes(32), bytes(64), "an MQTT password", [])
    settings = {"broker": {"host": "h", "port": 1, "pin": "a5" * 32}, "keepalive_s": 17, "mcp": {}}
    return Hands(identity, settings, ("down", "state"), Part(), screens, directory)


def test_every_screen_shows_and_the_journal_keeps():
    directory, first, second = folder(), Part(), Part()
    hands = made(directory, [first, second])
    hands.show("view")
    assert hands.load() is None
    hands.store(b"data")
    assert first.seen == second.seen == ["view"] and hands.load() == b"data"
    assert made(directory).load() == b"data" and made(folder()).load() is None


def test_a_link_has_the_device_its_topics_and_a_will():
    link = made().link()
    assert (link._client_id, link._password, link._topics, link._will) == (
        "lp-test",
        "an MQTT password",
        ("down",),
        ("state", b"0"),
    )
    assert link._keepalive_s == 17 and not link.alive


def test_each_link_is_a_new_one_on_the_same_tls_context():
    hands = made()
    first, second = hands.link(), hands.link()
    assert first is not second
    assert first._broker["context"] is not None and first._broker["context"] is second._broker["context"]


# 2026-10-26 was a Monday; machine.RTC.datetime wants (year, month, day, weekday, hours, minutes, seconds, subseconds).
NOW_S = 1_793_000_000
SET = (2026, 10, 26, 0, 7, 33, 20, 0)


class Machine:
    """A chip's `machine` module, as far as a clock goes."""

    def __init__(self):
        self.set = []

    def RTC(self):
        return self

    def datetime(self, value):
        self.set.append(value)


class From2000:
    """A chip's `time` module, whose seconds begin in 2000."""

    def gmtime(self, seconds):
        return tuple(time.gmtime(seconds + 946_684_800))[:8]


def set_on_a_chip(**modules):
    before = {}
    for name in modules:
        before[name] = sys.modules.get(name)
        sys.modules[name] = modules[name]
    try:
        made().set_clock(NOW_S)
    finally:
        for name in modules:
            if before[name] is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before[name]
    return modules["machine"].set


def test_the_clock_is_set_in_the_chips_own_form():
    assert set_on_a_chip(machine=Machine()) == [SET]


def test_a_chip_that_counts_from_2000_gets_the_same_time():
    assert set_on_a_chip(machine=Machine(), time=From2000()) == [SET]
