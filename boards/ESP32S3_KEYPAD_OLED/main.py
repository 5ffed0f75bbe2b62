"""An ESP32-S3 DevKit with a 4x4 keypad, a 128x64 display and a buzzer. The serial line shows the same as the display.

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
    from latchpin.adapters.keypad_matrix import KeypadMatrix
    from latchpin.adapters.oled_ssd1306 import OledSsd1306
    from latchpin.adapters.serial_console import SerialConsole

    keypad = KeypadMatrix(
        [Pin(number, Pin.OPEN_DRAIN, value=1) for number in pins.KEYPAD_ROWS],
        [Pin(number, Pin.IN, Pin.PULL_UP) for number in pins.KEYPAD_COLUMNS],
    )
    bus = machine.I2C(0, sda=Pin(pins.OLED_SDA), scl=Pin(pins.OLED_SCL), freq=400_000)
    buzzer = Buzzer(machine.PWM(Pin(pins.BUZZER), freq=440, duty_u16=0))
    return keypad, [OledSsd1306(bus, pins.OLED_ADDRESS), buzzer, SerialConsole()]


machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
