"""A terminal that shows a view for each line that it reads: its QR code, "again" for the very same view, "same" for another one
that says the same. Run by test_qr_on_displays.py."""

import sys

sys.path.append(__file__.rsplit("/", 2)[0] + "/../both_runtimes")

from chips import View

from latchpin.adapters.serial_console import SerialConsole

TEXT = "Open as.example/device and type BCDF-GHJK"

lines = [line.strip() for line in sys.stdin]
console = SerialConsole(draws=True) if lines[0] else SerialConsole()
view = qr = None
for line in lines[1:]:
    if line != "again":
        qr = qr if line == "same" else line
        view = View("waiting", "Browser", TEXT, "", qr)
    console.show(view)
console.show(View("ready", "Ready"))
