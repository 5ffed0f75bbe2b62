"""A LilyGO T-Display S3: two buttons and a 320x170 colour display. The serial line shows the same.

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
    from latchpin.adapters.two_buttons import TwoButtons
    from latchpin.adapters.wires_i80 import I80Wires

    for number in (pins.LCD_READ, pins.LCD_WRITE, pins.LCD_COMMAND, pins.LCD_RESET):
        Pin(number, Pin.OUT, value=1)
    for number in pins.LCD_DATA:
        Pin(number, Pin.OUT)
    wires = I80Wires(pins.LCD_DATA, pins.LCD_WRITE, pins.LCD_COMMAND, Pin(pins.LCD_SELECT, Pin.OUT, value=1))
    display = LcdSt7789(wires, 320, 170, *pins.LCD_PLACE)
    Pin(pins.LCD_LIGHT, Pin.OUT, value=1)
    buttons = TwoButtons(Pin(pins.BUTTON_1, Pin.IN, Pin.PULL_UP), Pin(pins.BUTTON_2, Pin.IN, Pin.PULL_UP), [display])
    return buttons, [display, SerialConsole()]


Pin(pins.POWER, Pin.OUT, value=1)  # else the display is dark on battery
machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
