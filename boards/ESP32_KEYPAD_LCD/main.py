"""An ESP32 DevKit with a 4x4 keypad, a 16x2 display and a lamp. The serial line shows the same as the display.

Not for a REPL at the same time: Ctrl-C gives it back.
"""

import asyncio

import machine
import pins


class Notice:
    """A view for before the agent works."""

    code = "setup"
    entry = ""

    def __init__(self, title, text):
        self.title = title
        self.text = text


def prepare():
    """((identity, settings), None), or (None, what the person has to do first)."""
    from latchpin import runtime
    from latchpin.adapters import settings

    try:
        return settings.load(), None
    except settings.SettingsError as error:
        return None, Notice("Set-up", str(error))
    finally:
        runtime.make_room("adapters.settings", "adapters.tls_stream")


def screens():
    """Display, lamp and serial line."""
    from latchpin.adapters.lcd_hd44780 import LcdHd44780
    from latchpin.adapters.led import Led
    from latchpin.adapters.serial_console import SerialConsole

    bus = machine.I2C(0, sda=machine.Pin(pins.LCD_SDA), scl=machine.Pin(pins.LCD_SCL), freq=100_000)
    return [LcdHd44780(bus, pins.LCD_ADDRESS), Led(machine.Pin(pins.LAMP, machine.Pin.OUT)), SerialConsole()]


async def complain(notice):
    """Show it until somebody does something about it."""
    for screen in screens():
        screen.show(notice)
    while True:
        await asyncio.sleep(3600)


async def work(Runner, identity, options):
    """The device at work, until Ctrl-C."""
    from latchpin.adapters.hands import Hands
    from latchpin.adapters.keypad_matrix import KeypadMatrix
    from latchpin.adapters.wifi import Wifi
    from latchpin.wire import topics

    keypad = KeypadMatrix(
        [machine.Pin(number, machine.Pin.OPEN_DRAIN, value=1) for number in pins.KEYPAD_ROWS],
        [machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_UP) for number in pins.KEYPAD_COLUMNS],
    )
    ours = topics.topic(identity.device, "down"), topics.topic(identity.device, "state")
    hands = Hands(identity, options, ours, keypad, screens())
    radio = asyncio.create_task(Wifi(options.get("wifi", []), identity.device).keep())
    try:
        await Runner(hands, identity, options).run()
    finally:
        radio.cancel()


def main():
    machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
    from latchpin.runner import Runner

    found, notice = prepare()
    asyncio.run(work(Runner, *found) if found else complain(notice))


main()
