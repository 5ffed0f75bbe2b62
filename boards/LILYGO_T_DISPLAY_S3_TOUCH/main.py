"""A LilyGO T-Display S3 with touch: a keypad drawn below the text. The serial line shows the same.

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
    from latchpin.adapters.lcd_st7789 import LcdSt7789
    from latchpin.adapters.serial_console import SerialConsole
    from latchpin.adapters.touch_keypad import TouchKeypad
    from latchpin.adapters.wires_i80 import I80Wires

    for number in (pins.LCD_READ, pins.LCD_WRITE, pins.LCD_COMMAND, pins.LCD_RESET):
        Pin(number, Pin.OUT, value=1)
    for number in pins.LCD_DATA:
        Pin(number, Pin.OUT)
    wires = I80Wires(pins.LCD_DATA, pins.LCD_WRITE, pins.LCD_COMMAND, Pin(pins.LCD_SELECT, Pin.OUT, value=1))
    display = LcdSt7789(wires, 170, 320, *pins.LCD_PLACE, wide=1, rows=7)
    Pin(pins.TOUCH_RESET, Pin.OUT, value=1)
    bus = machine.I2C(0, sda=Pin(pins.TOUCH_SDA), scl=Pin(pins.TOUCH_SCL), freq=400_000)
    keypad = TouchKeypad(bus, pins.TOUCH_ADDRESS, display, 0, 112, 170, 208)
    Pin(pins.LCD_LIGHT, Pin.OUT, value=1)
    return keypad, [display, SerialConsole()]


Pin(pins.POWER, Pin.OUT, value=1)  # else the display is dark on battery
machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
