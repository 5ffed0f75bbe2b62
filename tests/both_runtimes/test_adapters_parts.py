"""Keypad, display, lamp and Wi-Fi against simulated parts that behave as their data sheets say.

Not for boards: tests/adapters/test_boards.py starts those.
"""

import asyncio

from chips import Hd44780, View, now_us

from latchpin.adapters.keypad_matrix import KEYS_4X4, KeypadMatrix
from latchpin.adapters.lcd_hd44780 import LcdHd44780
from latchpin.adapters.led import PATTERNS, Led
from latchpin.adapters.text_screen import wrap
from latchpin.adapters.wifi import Wifi
from latchpin.agent import prompts

# A keypad: contacts between row wires and column wires, pull-ups on the columns, open drains on the rows.


class Wire:
    def __init__(self, pad, name):
        self._pad = pad
        self.name = name
        self.level = 1

    def value(self, level=None):
        if level is None:
            return self._pad.read(self)
        self.level = level


class Pad:
    def __init__(self, rows=4, columns=4):
        self.rows = [Wire(self, ("row", number)) for number in range(rows)]
        self.columns = [Wire(self, ("column", number)) for number in range(columns)]
        self.closed = {}  # key position: microseconds until which it bounces, and which way it goes
        self.noise = 1

    def press(self, key, bounce_us=0):
        self.closed[KEYS_4X4.index(key)] = (now_us() + bounce_us, True)

    def release(self, key, bounce_us=0):
        if bounce_us:
            self.closed[KEYS_4X4.index(key)] = (now_us() + bounce_us, False)
        else:
            del self.closed[KEYS_4X4.index(key)]

    def _conducts(self, position):
        until, closing = self.closed[position]
        if now_us() >= until:
            return closing
        self.noise = (self.noise * 1103515245 + 12345) & 0x7FFFFFFF
        return bool(self.noise >> 16 & 1)

    def read(self, column):
        # A column is low if a path of closed contacts leads to a row that is pulled low: that is also how ghosts come about.
        contacts = [position for position in self.closed if self._conducts(position)]
        reached = {column.name}
        grown = True
        while grown:
            grown = False
            for position in contacts:
                ends = {("row", position // len(self.columns)), ("column", position % len(self.columns))}
                if ends & reached and not ends <= reached:
                    reached |= ends
                    grown = True
        return 0 if any(row.level == 0 and row.name in reached for row in self.rows) else 1


def typed(script):
    """The keys that a keypad gives while `script(pad)`, a coroutine, presses contacts."""

    async def main():
        pad = Pad()
        keypad = KeypadMatrix(pad.rows, pad.columns)
        keys = pad.typed = []

        async def collect():
            while True:
                keys.append(await keypad.read_key())

        task = asyncio.create_task(collect())
        await script(pad)
        await asyncio.sleep(0.08)
        task.cancel()
        assert all(row.level == 1 for row in pad.rows), "a scan leaves no row pulled low"
        return "".join(keys)

    return asyncio.run(main())


def test_every_key_of_the_matrix_is_the_right_one():
    async def script(pad):
        for key in KEYS_4X4:
            pad.press(key)
            for _ in range(50):  # 60 ms, and more on a machine that is busy
                await asyncio.sleep(0.06)
                if pad.typed and pad.typed[-1] == key:
                    break
            pad.release(key)
            await asyncio.sleep(0.06)

    assert typed(script) == KEYS_4X4


def test_a_bouncing_contact_is_one_key():
    async def script(pad):
        for key in "159":
            pad.press(key, bounce_us=15_000)
            await asyncio.sleep(0.1)
            pad.release(key, bounce_us=15_000)
            await asyncio.sleep(0.1)

    assert typed(script) == "159"


def test_a_spike_is_no_key():
    async def script(pad):
        for _ in range(5):
            pad.press("5")
            await asyncio.sleep(0.004)
            pad.release("5")
            await asyncio.sleep(0.05)

    assert typed(script) == ""


def test_a_key_that_is_held_comes_once():
    async def script(pad):
        pad.press("7")
        await asyncio.sleep(0.4)

    assert typed(script) == "7"


def test_the_next_key_may_go_down_before_the_last_is_up():
    async def script(pad):
        pad.press("1")
        await asyncio.sleep(0.06)
        pad.press("2")
        await asyncio.sleep(0.06)
        pad.release("1")
        await asyncio.sleep(0.06)
        pad.press("3")
        await asyncio.sleep(0.06)

    assert typed(script) == "123"


def test_two_keys_at_once_both_come():
    async def script(pad):
        pad.press("4")
        pad.press("9")
        await asyncio.sleep(0.08)

    assert typed(script) == "49"


def test_three_keys_at_the_corners_make_no_ghost_of_a_fourth():
    async def script(pad):
        pad.press("1")
        await asyncio.sleep(0.08)
        pad.press("2")
        await asyncio.sleep(0.08)
        pad.press("4")  # and now the wires say 5 as well
        await asyncio.sleep(0.1)

    assert typed(script) == "12"


# An HD44780U behind a PCF8574.


def test_the_display_wakes_as_figure_24_says_and_is_clear():
    chip = Hd44780()
    LcdHd44780(chip)
    assert chip.wakes == 3 and chip.glass() == [" " * 16] * 2


def test_title_and_entry_stand_above_and_the_text_below():
    chip = Hd44780()
    display = LcdHd44780(chip)
    display.show(View("waiting", "PIN?", "amber fox", "***-**"))
    assert chip.glass() == ["PIN?      ***-**", "amber fox       "]
    display.show(View("ready", "Ready", ""))
    assert chip.glass() == ["Ready           ", " " * 16]


def test_a_full_entry_of_three_threes_fits_beside_the_title_of_a_pin():
    chip = Hd44780()
    LcdHd44780(chip).show(View("waiting", "PIN?", "", "***-***-***"))
    assert chip.glass()[0] == "PIN? ***-***-***"


def test_only_what_changed_is_written_again():
    chip = Hd44780()
    display = LcdHd44780(chip)
    display.show(View("waiting", "PIN?", "amber fox", "*"))
    written = chip.data_bytes
    display.show(View("waiting", "PIN?", "amber fox", "**"))
    assert chip.data_bytes - written == 1


def test_four_rows_of_twenty_are_addressed_right():
    chip = Hd44780(20, 4)
    LcdHd44780(chip, columns=20, rows=4).show(View("offline", "Offline", "no broker (dns), again in 30 s and then it goes on"))
    assert chip.glass() == ["Offline             ", "no broker (dns),    ", "again in 30 s and   ", "then it goes on     "]


def test_a_text_longer_than_the_display_turns_its_pages():
    from latchpin.adapters import text_screen

    async def main():
        chip = Hd44780()
        display = LcdHd44780(chip)
        display.show(View("typo", "Typing error", "wrong check digit. type it again"))
        seen = []
        for _ in range(60):
            if chip.glass()[1] not in seen:
                seen.append(chip.glass()[1])
            await asyncio.sleep(0.01)
        display.show(View("ready", "Ready", "short"))
        await asyncio.sleep(0.3)
        assert chip.glass() == ["Ready           ", "short           "]
        return seen

    pause_s, text_screen.PAGE_S = text_screen.PAGE_S, 0.1
    try:
        assert asyncio.run(main()) == ["wrong check     ", "digit. type it  ", "again           "]
    finally:
        text_screen.PAGE_S = pause_s


def test_what_the_character_rom_has_not_is_a_question_mark():
    chip = Hd44780()
    LcdHd44780(chip).show(View("answer", "A~b\\c", "grün"))
    assert chip.glass() == ["A?b?c           ", "gr?n            "]


def test_lines_break_at_blanks_and_long_words_where_they_must():
    assert wrap("", 16) == []
    assert wrap("one two three four", 9) == ["one two", "three", "four"]
    assert wrap("a " + "x" * 20, 8) == ["a", "x" * 8, "x" * 8, "x" * 4]
    for text in ("waiting for the bridge's answer", "x" * 50, "a b c d e f g"):
        assert all(len(line) <= 7 for line in wrap(text, 7))
        assert "".join(wrap(text, 7)).replace(" ", "") == text.replace(" ", "")


# A lamp.


class Lamp:
    def __init__(self):
        self.level = None
        self.changes = []

    def value(self, level):
        if level != self.level:
            self.changes.append((level, now_us() // 1000))
        self.level = level


def test_a_lamp_is_dark_first_then_shows_the_pattern_of_its_state():
    async def main():
        lamp = Lamp()
        led = Led(lamp, lit=0)
        assert lamp.level == 1
        led.show(View("typo"))
        led.show(View("typo"))
        await asyncio.sleep(0.55)
        levels = [level for level, _ in lamp.changes]
        times = [at for _, at in lamp.changes[1:]]
        assert levels == [1, 0, 1, 0, 1]
        assert all(100 < times[at + 1] - times[at] < 250 for at in range(len(times) - 1))
        led.show(View("ready"))
        await asyncio.sleep(0.1)
        assert lamp.level == 0
        count = len(lamp.changes)
        await asyncio.sleep(0.3)
        assert len(lamp.changes) == count

    asyncio.run(main())


def test_every_pattern_belongs_to_a_state_and_no_two_groups_look_alike():
    for code in PATTERNS:
        assert "\n" + code + "|" in prompts.TEXTS, code
    assert len(set(PATTERNS[code] for code in ("ready", "waiting", "wrong_answer", "expired", "locked", "offline", "typo"))) == 7


# A radio.


class Wlan:
    """What network.WLAN does on an ESP32: connect() returns at once, a wrong password never connects, a busy radio raises."""

    def __init__(self, air, busy=0):
        self.air = air  # ssid: (password, rssi); an rssi of None hides the name
        self.busy = busy
        self.tried = []
        self.joined = None
        self.on = False

    def active(self, on):
        self.on = on

    def scan(self):
        assert self.on
        return [(ssid.encode(), b"", 1, rssi, 3, False) for ssid, (_, rssi) in self.air.items() if rssi is not None]

    def isconnected(self):
        return self.joined is not None

    def disconnect(self):
        self.joined = None

    def connect(self, ssid, password):
        self.tried.append(ssid)
        if self.busy:
            self.busy -= 1
            raise OSError("Wifi Internal State Error")
        if ssid in self.air and self.air[ssid][0] == password:
            self.joined = ssid


def joined(wlan, networks, *changes):
    from latchpin.adapters import wifi

    async def main():
        radio = Wifi(networks, "lp-test", wlan)
        task = asyncio.create_task(radio.keep())
        await asyncio.sleep(0.3)
        seen = [wlan.joined]
        for change in changes:
            change()
            await asyncio.sleep(0.3)
            seen.append(wlan.joined)
        task.cancel()
        return seen

    before = wifi.JOIN_S, wifi.PAUSE_S
    wifi.JOIN_S, wifi.PAUSE_S = 0, 0.02
    try:
        return asyncio.run(main())
    finally:
        wifi.JOIN_S, wifi.PAUSE_S = before


HOME = {"ssid": "home", "password": "a"}
WORK = {"ssid": "work", "password": "b"}


def test_the_strongest_known_network_is_joined():
    wlan = Wlan({"home": ("a", -80), "work": ("b", -40), "else": ("", -10)})
    assert joined(wlan, [HOME, WORK]) == ["work"] and wlan.tried[0] == "work"


def test_a_wrong_password_or_a_busy_radio_leads_to_the_next_network():
    wlan = Wlan({"home": ("a", -80), "work": ("changed", -40)})
    assert joined(wlan, [HOME, WORK]) == ["home"]
    wlan = Wlan({"home": ("a", -80)}, busy=2)
    assert joined(wlan, [HOME]) == ["home"]


def test_a_network_that_hides_its_name_is_tried_last():
    wlan = Wlan({"work": ("b", None)})
    assert joined(wlan, [HOME, WORK]) == ["work"]


def test_a_lost_network_is_joined_again():
    wlan = Wlan({"home": ("a", -80)})

    def lose():
        wlan.joined = None

    assert joined(wlan, [HOME], lose) == ["home", "home"]


def test_the_radio_is_on_before_anything_random_is_needed_and_nothing_prints_a_password():
    wlan = Wlan({})
    radio = Wifi([HOME], "lp-test", wlan)
    assert wlan.on and HOME["password"] not in repr(radio)[5:]
