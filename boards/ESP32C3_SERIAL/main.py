"""An ESP32-C3 with nothing but its USB serial line: the terminal on the other end is keypad and display.

Not for a REPL at the same time: Ctrl-C gives it back.
"""

from latchpin.adapters.start import start
from latchpin.runner import Runner
from latchpin.wire.topics import topic


def parts():
    """(keys, screens)."""
    from latchpin.adapters.serial_console import SerialConsole

    console = SerialConsole(draws=True)
    return console, [console]


start(Runner, topic, parts)
