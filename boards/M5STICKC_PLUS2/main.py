"""An M5StickC Plus2: two buttons, a 240x135 colour display, a buzzer and a lamp. The serial line shows the same.

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
    from latchpin.adapters.buzzer import Buzzer
    from latchpin.adapters.lcd_st7789 import LcdSt7789, SpiWires
    from latchpin.adapters.led import Led
    from latchpin.adapters.serial_console import SerialConsole
    from latchpin.adapters.two_buttons import TwoButtons

    # The bus before the reset line: left to itself, the bus takes that pin for its MISO.
    bus = machine.SPI(1, baudrate=40_000_000, sck=Pin(pins.LCD_CLOCK), mosi=Pin(pins.LCD_DATA))
    Pin(pins.LCD_RESET, Pin.OUT, value=1)
    wires = SpiWires(bus, Pin(pins.LCD_SELECT, Pin.OUT, value=1), Pin(pins.LCD_COMMAND, Pin.OUT))
    display = LcdSt7789(wires, 240, 135, *pins.LCD_PLACE)
    Pin(pins.LCD_LIGHT, Pin.OUT, value=1)
    buttons = TwoButtons(Pin(pins.BUTTON_A, Pin.IN), Pin(pins.BUTTON_B, Pin.IN), [display])
    buzzer = Buzzer(machine.PWM(Pin(pins.BUZZER), freq=440, duty_u16=0))
    return buttons, [display, buzzer, Led(Pin(pins.LAMP, Pin.OUT)), SerialConsole()]


Pin(pins.HOLD, Pin.OUT, value=1)  # else it switches itself off when the power button is let go
machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
