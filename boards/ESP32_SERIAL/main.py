"""An ESP32 with nothing but its USB serial line: the terminal on the other end is keypad and display.

Not for a REPL at the same time: Ctrl-C gives it back.
"""

import machine

from latchpin.adapters.start import start
from latchpin.runner import Runner
from latchpin.wire.topics import topic


def parts():
    """(keys, screens)."""
    from latchpin.adapters.serial_console import SerialConsole

    console = SerialConsole(draws=True)
    return console, [console]


machine.freq(240_000_000)  # the elliptic curve takes two thirds of the time
start(Runner, topic, parts)
