"""What a board's main.py asks of a chip's `machine` module, without a chip: its parts hang on the pins that pins.py names.

A person's fingers are stdin: a character presses that key of a keypad, drawn or not; "a" and "b" press the first and the second
of two buttons; "?" prints what stands on the glass. Not for timing: tests/both_runtimes has that.
"""

import select
import sys

import chips
import pins

_levels = {}
_poll = select.poll()
_poll.register(sys.stdin, select.POLLIN)


def freq(hertz):
    assert hertz == 240_000_000


class _Finger:
    """One key after the other: down for so many looks, then up for as many."""

    def __init__(self, looks):
        self._looks = looks
        self._left = 0
        self._key = ""

    def key(self):
        """The key that is down at this look, or ""."""
        self._left -= 1
        if self._left == self._looks:
            self._key = ""
        if self._left > 0 or not _poll.poll(0):
            return self._key
        key = chr(sys.stdin.buffer.read(1)[0])
        if key == "?":
            print("[Glass] " + " / ".join([line for line in glass() if line]))
        else:
            self._key = key
            self._left = 2 * self._looks
        return self._key


_buttons = [getattr(pins, name) for name in ("BUTTON_A", "BUTTON_B", "BUTTON_1", "BUTTON_2") if hasattr(pins, name)]
_columns = getattr(pins, "KEYPAD_COLUMNS", ())
_finger = _Finger(16 * 4 if _columns else 2 * 4 if _buttons else 3)


class Pin:
    IN, OUT, OPEN_DRAIN, PULL_UP = 1, 3, 7, 2
    IRQ_FALLING, IRQ_RISING = 2, 1

    def __init__(self, number, mode=None, pull=None, value=None):
        self.number = number
        if value is not None:
            _levels[number] = value

    def value(self, level=None):
        if level is not None:
            _levels[self.number] = level
            if mem32 and self.number == pins.LCD_SELECT:
                mem32.value(level)
        elif self.number in _columns:
            key = _finger.key()
            at = "123A456B789C*0#D".index(key) if key else 0
            pressed = key and _levels[pins.KEYPAD_ROWS[at // 4]] == 0 and _columns[at % 4] == self.number
            return 0 if pressed else 1
        else:
            key = _finger.key()
            return 0 if key and "ab".index(key) == _buttons.index(self.number) else 1


# Made here and not when main.py asks for them: whoever weighs a board's parts does not want to weigh these.
_lcd = chips.St7789() if hasattr(pins, "LCD_PLACE") else None
_on_i2c = {}
if hasattr(pins, "LCD_SDA"):
    _on_i2c["LCD"] = chips.Hd44780()
if hasattr(pins, "OLED_SDA"):
    _on_i2c["OLED"] = chips.Ssd1306(pins.OLED_ADDRESS)
if hasattr(pins, "TOUCH_SDA"):
    _on_i2c["TOUCH"] = chips.Touch(pins.TOUCH_ADDRESS)


class I2C:
    def __init__(self, bus, sda, scl, freq):
        part = [part for part in _on_i2c if getattr(pins, part + "_SDA") == sda.number][0]  # noqa: RUF015
        assert getattr(pins, part + "_SCL") == scl.number
        assert freq <= (100_000 if part == "LCD" else 400_000)
        self._chip = _on_i2c[part]

    def writeto(self, address, data):
        self._chip.writeto(address, data)

    def readfrom_mem(self, address, register, count):
        key = _finger.key()
        at = "123456789*0#".index(key) if key else 0
        self._chip.finger = (at % 3 * 56 + 28, 112 + at // 3 * 52 + 26) if key else None
        return self._chip.readfrom_mem(address, register, count)


def _read_lcd():
    x, y, turn = pins.LCD_PLACE
    across, down = (170, 320) if turn == 0 else (240, 135) if y == 53 else (320, 170)
    wide, rows = (1, 7) if turn == 0 else (2, down // 16)
    return [_lcd.row(x, y + 16 * row, across // (8 * wide), wide)[0] for row in range(rows)]


def glass():
    """What stands on the board's display, row by row."""
    if _lcd:
        return [line.strip() for line in _read_lcd()]
    return [line.strip() for part in ("LCD", "OLED") if part in _on_i2c for line in _on_i2c[part].glass()]


def forget():
    """What the chips remember of what they were told."""
    if _lcd:
        _lcd.log = _lcd.log[-1:]
    if "OLED" in _on_i2c:
        _on_i2c["OLED"].commands = []


class SPI:
    def __init__(self, bus, baudrate, sck, mosi):
        assert sck.number == pins.LCD_CLOCK and mosi.number == pins.LCD_DATA and baudrate <= 80_000_000

    def write(self, data):
        assert _levels[pins.LCD_SELECT] == 0 and _levels[pins.LCD_RESET] == 1
        _lcd.take(data, _levels[pins.LCD_COMMAND])


mem32 = None
if hasattr(pins, "LCD_WRITE"):
    mem32 = chips.Registers(_lcd, pins.LCD_DATA, pins.LCD_WRITE, pins.LCD_COMMAND)


class PWM(chips.Pwm):
    def __init__(self, pin, freq, duty_u16):
        assert pin.number == pins.BUZZER and duty_u16 == 0
        chips.Pwm.__init__(self)


class RTC:
    def datetime(self, value):
        pass
