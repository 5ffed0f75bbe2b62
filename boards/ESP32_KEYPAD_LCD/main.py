"""An ESP32 DevKit with a 4x4 keypad, a 16x2 display and a lamp. The serial line shows the same as the display.

Not for a REPL at the same time: Ctrl-C gives it back.
"""

import machine
import pins
from machine import Pin

from latchpin.adapters.start import start
from latchpin.runner import Runner
from latchpin.wire.topics import topic


def parts():
    """(keys, screens)."""
    from latchpin.adapters.keypad_matrix import KeypadMatrix
    from latchpin.adapters.lcd_hd44780 import LcdHd44780
    from latchpin.adapters.led import Led
    from latchpin.adapters.serial_console import SerialConsole

    keypad = KeypadMatrix(
        [Pin(number, Pin.OPEN_DRAIN, value=1) for number in pins.KEYPAD_ROWS],
        [Pin(number, Pin.IN, Pin.PULL_UP) for number in pins.KEYPAD_COLUMNS],
    )
    bus = machine.I2C(0, sda=Pin(pins.LCD_SDA), scl=Pin(pins.LCD_SCL), freq=100_000)
    return keypad, [LcdHd44780(bus, pins.LCD_ADDRESS), Led(Pin(pins.LAMP, Pin.OUT)), SerialConsole()]


machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
