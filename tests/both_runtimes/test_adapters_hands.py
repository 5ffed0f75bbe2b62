"""adapters/hands.py: every part gets what is its own, and the clock is set as an ESP32 wants it.

Not for connections: tests/adapters/test_mqtt_link.py has those.
"""

import json
import os
import sys
import time

from latchpin import BUILT_S, adapters
from latchpin.adapters.hands import Hands
from latchpin.adapters.identity import Identity

PIN, CA = "a5" * 32, "no such file.der"

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


def made(directory=".", screens=(), broker=None, mcp=None):
    identity = Identity("lp-test", b"\x01", bytes(32), bytes(64), "an MQTT password", [])
    settings = {"broker": broker or {"host": "h", "port": 1, "pin": PIN}, "keepalive_s": 17, "mcp": mcp or {}}
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


def test_a_factory_reset_forgets_the_networks_and_leaves_the_rest_to_the_agent():
    directory = folder()
    kept = {"broker": {"host": "h", "pin": PIN}, "mcp": {}}
    with open(directory + "/settings.json", "w") as file:
        json.dump({"broker": kept["broker"], "mcp": {}, "wifi": [{"ssid": "workshop"}]}, file)
    with open(directory + "/identity.json", "w") as file:
        file.write("stays")
    hands = made(directory)
    hands.store(b"what is to be revoked")
    hands.erase()
    hands.erase()
    assert sorted(os.listdir(directory)) == ["identity.json", "settings.json", "token_a.bin"]
    with open(directory + "/settings.json") as file:
        assert json.load(file) == kept
    assert made(directory).load() == b"what is to be revoked"


# 2027-03-01 was a Monday; machine.RTC.datetime wants (year, month, day, weekday, hours, minutes, seconds, subseconds).
NOW_S = 1_803_886_400
SET = (2027, 3, 1, 0, 7, 33, 20, 0)
LATER = (2027, 3, 1, 0, 8, 33, 20, 0)
HOUR_S = 3_600
DAY_S = 86_400


class Clock:
    """A chip's `machine` and `time` modules, as far as a clock goes, with seconds that begin in `year`."""

    def __init__(self, year, now_s):
        self._first_s = {1970: 0, 2000: 946_684_800}[year]
        self._now_s = now_s
        self.set = []

    def RTC(self):
        return self

    def datetime(self, value):
        self.set.append(value)

    def gmtime(self, seconds):
        assert type(seconds) is int
        return tuple(time.gmtime(seconds + self._first_s))[:8]

    def time(self):
        return self._now_s - self._first_s


def on_a_chip(clock, work):
    """What `work` gives where `machine` and `time` are this clock."""
    before = {}
    for name, module in (("machine", clock), ("time", clock), ("latchpin.adapters.clock", None)):
        before[name] = sys.modules.pop(name, None)
        if module:
            sys.modules[name] = module
    # `from latchpin.adapters import clock` would find the old one.
    if hasattr(adapters, "clock"):
        del adapters.clock
    try:
        return work()
    finally:
        for name in before:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]
        if hasattr(adapters, "clock"):
            del adapters.clock


def set_by(now_s, told, year=1970):
    """What a clock that stands at `now_s` is set to by hands that are `told` (seconds, sure) one after the other."""
    clock = Clock(year, now_s)

    def work():
        hands = made()
        for seconds, sure in told:
            hands.set_clock(seconds, sure)

    on_a_chip(clock, work)
    return clock.set


def utc(seconds):
    year, month, day, hour, minute, second, weekday = tuple(time.gmtime(seconds))[:7]
    return (year, month, day, weekday, hour, minute, second, 0)


def test_the_time_is_set_in_the_chips_own_form():
    for year in (1970, 2000):
        assert set_by(NOW_S - 9, [(NOW_S, True)], year) == [SET]


def test_a_clock_that_is_behind_the_build_date_is_set_to_it_at_the_start():
    for year in (1970, 2000):
        assert set_by(946_684_800, [], year) == [utc(BUILT_S)]
        assert set_by(BUILT_S, [], year) == []
        assert set_by(NOW_S, [], year) == []


def test_a_time_that_is_not_sure_sets_the_clock_forward_only():
    for year in (1970, 2000):
        assert set_by(NOW_S - 1, [(NOW_S, False)], year) == [SET]
        assert set_by(NOW_S, [(NOW_S, False)], year) == []
        assert set_by(NOW_S + 1, [(NOW_S, False)], year) == []


def test_a_time_that_is_sure_sets_the_clock_back_too_but_never_before_the_build():
    for year in (1970, 2000):
        assert set_by(NOW_S + DAY_S, [(NOW_S, True), (NOW_S + HOUR_S, True)], year) == [SET, LATER]
        assert set_by(NOW_S, [(NOW_S + HOUR_S, True), (NOW_S, True)], year) == [LATER, SET]
        assert set_by(NOW_S, [(BUILT_S - 1, True), (0, True), (BUILT_S - 1, False)], year) == []


def test_what_every_reply_tells_is_heeded_once_an_hour():
    told = [(NOW_S, True), (NOW_S + 1, True), (NOW_S + HOUR_S - 1, True), (NOW_S + HOUR_S, True), (NOW_S + HOUR_S, True)]
    assert set_by(NOW_S - 9, told) == [SET, LATER]


def test_a_computer_keeps_its_own_time():
    hands = made()
    hands.set_clock(0, False)
    hands.set_clock(NOW_S, True)


# Whose certificates count.


def proofs(told, chip=True):
    """(ca of the broker, that of the MCP server, whether the next link demands it) after what was told; both have a pin."""
    broker = {"host": "h", "port": 1, "pin": PIN, "ca": CA}
    mcp = {"pin": PIN, "ca": CA}

    def work():
        hands = made(".", (), broker, mcp)
        for seconds, sure in told:
            hands.set_clock(seconds, sure)

    if chip:
        on_a_chip(Clock(2000, NOW_S), work)
    else:
        work()
    return broker.get("ca"), mcp.get("ca"), broker.get("context") is None or broker.get("due") is True


def test_until_the_time_is_known_a_server_with_a_pin_needs_no_ca():
    assert proofs([]) == (None, None, False)
    assert proofs([(NOW_S, False), (BUILT_S - 1, True)]) == (None, None, False)


def test_from_the_first_sure_time_on_it_needs_both():
    assert proofs([(NOW_S, False), (NOW_S, True), (NOW_S, False)]) == (CA, CA, True)


def test_on_a_computer_it_needs_both_from_the_start():
    assert proofs([], False) == (CA, CA, True)


def test_a_server_with_a_ca_alone_keeps_it():
    broker = {"host": "h", "port": 1, "ca": CA}
    on_a_chip(Clock(1970, 0), lambda: made(".", (), broker, {"ca": CA}))
    assert broker["ca"] == CA
