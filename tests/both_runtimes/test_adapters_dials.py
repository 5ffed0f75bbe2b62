"""Two buttons, a rotary encoder, a touched keypad and a buzzer against simulated parts.

Not for a matrix keypad: test_adapters_parts.py.
"""

import asyncio

from chips import Pin, Pwm, St7789, Touch, View

from latchpin.adapters import dial, two_buttons
from latchpin.adapters.buzzer import TONES, Buzzer
from latchpin.adapters.dial import SAME, Button, Dial
from latchpin.adapters.rotary_encoder import RotaryEncoder
from latchpin.adapters.touch_keypad import TouchKeypad
from latchpin.adapters.two_buttons import TwoButtons
from latchpin.agent import prompts


class Screen:
    def __init__(self):
        self.choices = []

    def choose(self, key):
        self.choices.append(key)


async def until(ready):
    """Waits for what a task beside this one does; only a hang reaches the bound."""
    for _ in range(30_000):
        if ready():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came about")


async def reading(part):
    """The keys of a part, as they come."""
    keys = []

    async def collect():
        while True:
            keys.append(await part.read_key())

    return keys, asyncio.create_task(collect())


def test_a_dial_goes_round_both_ways_and_begins_anew_after_a_submission():
    screen = Screen()
    it = Dial([screen])
    for steps in (1, -2, -1, 2, 9):
        it.turn(steps)
    assert screen.choices == ["0", "1", "#", "*", "0", "9"] and it.take() == "9" and it.take() == "9"
    it.turn(2)
    assert it.take() == "#" and screen.choices[-1] == "0"


def looked(levels):
    pin = Pin()
    button = Button(pin)
    pressed = 0
    for level in levels:
        pin.level = int(level)
        pressed += button.look()
    return pressed


def test_a_bouncing_button_is_pressed_once_and_a_spike_is_nothing():
    assert SAME == 3
    assert looked("111" + "0101" + "0000000" + "0101" + "1111") == 1
    assert looked("111" + "00" + "111" + "00" + "111") == 0
    assert looked("000" + "111" + "000") == 2
    assert looked("0" * 500) == 1


def test_one_button_moves_the_dial_and_the_other_takes_the_key():
    async def main():
        step, take, screen = Pin(), Pin(), Screen()
        part = TwoButtons(step, take, [screen])
        keys, task = await reading(part)

        async def press(pin, seen):
            before = len(seen)
            pin.level = 0
            await until(lambda: len(seen) > before)
            pin.level = 1
            await until(lambda: not part._step.held and not part._take.held)

        await press(step, screen.choices)
        await press(step, screen.choices)
        await press(take, keys)
        await press(take, keys)
        await press(step, screen.choices)
        await press(take, keys)
        task.cancel()
        return keys, screen.choices

    hold, two_buttons.HOLD = two_buttons.HOLD, 10_000
    try:
        assert asyncio.run(main()) == (["2", "2", "3"], ["0", "1", "2", "3"])
    finally:
        two_buttons.HOLD = hold


def test_a_button_that_is_held_goes_on_by_itself():
    async def main():
        step, take, screen = Pin(), Pin(), Screen()
        _, task = await reading(TwoButtons(step, take, [screen]))
        step.level = 0
        await until(lambda: len(screen.choices) >= 5)
        step.level = 1
        task.cancel()
        return screen.choices[:5]

    scan, two_buttons.SCAN_S = two_buttons.SCAN_S, 0.0005
    try:
        assert asyncio.run(main()) == ["0", "1", "2", "3", "4"]
    finally:
        two_buttons.SCAN_S = scan


# A rotary encoder: both contacts close and open in turn, a quarter of a period apart.

CLOCKWISE = ((0, 1), (0, 0), (1, 0), (1, 1))
BACK = ((1, 0), (0, 0), (0, 1), (1, 1))


class Wheel:
    def __init__(self):
        self.a, self.b, self.push, self.screen = Pin(), Pin(), Pin(), Screen()
        self.part = RotaryEncoder(self.a, self.b, self.push, [self.screen])

    def turn(self, quarters):
        for a, b in quarters:
            self.a.outside(a)
            self.b.outside(b)


def turned(*quarters):
    wheel = Wheel()
    for part in quarters:
        wheel.turn(part)
    return wheel.part._turned


def test_a_detent_is_one_key_whichever_way_it_is_turned():
    assert turned(CLOCKWISE) == 1 and turned(BACK) == -1
    assert turned(CLOCKWISE, CLOCKWISE, CLOCKWISE) == 3 and turned(CLOCKWISE, BACK) == 0


def test_bouncing_contacts_and_a_wheel_that_swings_back_turn_nothing():
    bouncing = ((0, 1), (1, 1), (0, 1), (0, 0), (0, 1), (0, 0), (1, 0), (1, 1), (1, 0), (1, 1))
    assert turned(bouncing) == 1
    assert turned(((1, 0), (0, 0), (1, 0), (1, 1))) == 0
    assert turned(((1, 0), (1, 1), (0, 1), (1, 1))) == 0


def test_an_edge_that_was_missed_costs_no_detent():
    wheel = Wheel()
    wheel.turn(((0, 1), (0, 0)))
    wheel.a.level = 1  # the interrupt came too late for this one
    wheel.turn(((1, 1),))
    assert wheel.part._turned == 1


def test_turning_shows_the_key_and_pushing_takes_it():
    async def main():
        wheel = Wheel()
        keys, task = await reading(wheel.part)
        for count in range(1, 4):
            wheel.turn(CLOCKWISE)
            await until(lambda: wheel.screen.choices[-1] == str(count))  # noqa: B023
        wheel.push.level = 0
        await until(lambda: keys == ["3"])
        task.cancel()

    asyncio.run(main())


# Keys drawn on a display.


class Canvas:
    def __init__(self):
        self.fills, self.texts = [], []

    def fill(self, *how):
        self.fills.append(how)

    def text(self, *how):
        self.texts.append(how)


PLACE = (0, 112, 168, 208)


def middle(key):
    number = "123456789*0#".index(key)
    return number % 3 * 56 + 28, 112 + number // 3 * 52 + 26


def test_twelve_keys_are_drawn_apart_each_with_its_name_in_it():
    canvas = Canvas()
    TouchKeypad(Touch(0x15), 0x15, canvas, *PLACE)
    assert [text[2] for text in canvas.texts] == list("123456789*0#")
    boxes = [fill[:4] for fill in canvas.fills]
    for number, (x, y, width, height) in enumerate(boxes):
        left, top = canvas.texts[number][:2]
        assert x < left < left + 8 < x + width and y < top < top + 16 < y + height
        assert x >= 0 and x + width <= 168 and y >= 112 and y + height <= 320
        for x2, y2, width2, height2 in boxes[:number]:
            assert x2 + width2 < x or x + width < x2 or y2 + height2 < y or y + height < y2


def touched(address, *fingers):
    """The keys of a pad on which a finger is for a while at each of these places."""

    async def main():
        bus = Touch(address)
        pad = TouchKeypad(bus, address, Canvas(), *PLACE)
        keys, task = await reading(pad)
        for finger in fingers:
            if finger == "asleep":
                bus.asleep, bus.finger = True, None
            else:
                bus.asleep, bus.finger = False, finger
            # As many scans as it takes until the part has made up its mind.
            wanted = pad._at(finger) if isinstance(finger, tuple) else ""
            await until(lambda: pad._stable == wanted)  # noqa: B023
        await asyncio.sleep(0.05)
        task.cancel()
        return "".join(keys)

    return asyncio.run(main())


def test_each_key_is_where_it_is_drawn_with_either_controller():
    for address in (0x15, 0x38):
        fingers = []
        for key in "0123456789*#":
            fingers += [middle(key), None]
        assert touched(address, *fingers) == "0123456789*#"


def test_a_controller_that_sleeps_is_no_key():
    assert touched(0x15, "asleep", middle("5"), "asleep", middle("5"), None) == "55"


def test_sliding_from_key_to_key_is_one_key_and_beside_the_keys_is_none():
    assert touched(0x15, middle("1"), middle("2"), None, middle("3"), None) == "13"
    assert touched(0x15, (10, 50), None, (169, 200), None) == ""


def test_keys_are_drawn_on_a_real_controller_within_the_glass():
    from chips import Spi

    from latchpin.adapters.lcd_st7789 import LcdSt7789, SpiWires

    chip = St7789()
    bus = Spi(chip)
    display = LcdSt7789(SpiWires(bus, bus.cs, bus.dc), 170, 320, 35, 0, 0x00, 1, 7)
    TouchKeypad(Touch(0x15), 0x15, display, *PLACE)
    x, y = middle("5")
    assert chip.row(35 + x - 4, y - 8, 1, 1) == ("5", 0xFFFF, 0x2104)
    assert chip.pixel(34, y) == chip.NOISE << 8 | chip.NOISE == chip.pixel(205, y)


# A buzzer.


def test_every_state_that_sounds_has_a_tone_of_its_own():
    for code in TONES:
        assert "\n" + code + "|" in prompts.TEXTS, code
    assert {"waiting", "typo", "wrong_answer", "expired", "locked", "offline", "ready"} <= set(TONES)
    assert len(set(TONES.values())) == len(TONES)


def test_a_tone_is_played_once_and_then_there_is_silence():
    async def main():
        pwm = Pwm()
        buzzer = Buzzer(pwm)
        buzzer.show(View("ready"))
        buzzer.show(View("ready"))
        await until(lambda: len(pwm.heard) == 4 and not pwm.duty)
        buzzer.show(View("asking"))
        buzzer.show(View("waiting"))
        await until(lambda: len(pwm.heard) == 6 and not pwm.duty)
        buzzer.show(View("ready"))
        await until(lambda: pwm.duty)
        buzzer.show(View("asking"))
        assert not pwm.duty
        await asyncio.sleep(0.05)
        return pwm.heard

    assert asyncio.run(main())[:6] == [523, 659, 784, 0, 880, 0]


def test_between_two_equal_tones_there_is_a_gap():
    async def main():
        pwm = Pwm()
        Buzzer(pwm).show(View("wrong_answer"))
        await until(lambda: len(pwm.heard) == 6 and not pwm.duty)
        return pwm.heard

    assert asyncio.run(main()) == [330, 0, 330, 0, 330, 0]


def test_nothing_waits_for_a_scan_longer_than_a_finger_is_down():
    assert dial.SCAN_S * SAME <= 0.05
