"""Keypad and display over the serial line: an ESP32's REPL, a pipe, a terminal.

Not for decisions: which key means what is the agent's. It echoes nothing that was typed.
"""

import asyncio
import select
import sys

from latchpin import runtime
from latchpin.runtime import const

try:
    from os import read as _read_descriptor  # CPython: its sys.stdin would buffer what poll then no longer sees
except ImportError:
    _read_descriptor = None

_PAUSE_MS = const(20)


class SerialConsole:
    """`read_key` and `show` over sys.stdin and sys.stdout. draws: this terminal is all that there is to see, so QR codes too."""

    def __init__(self, draws: bool = False):
        self._draws = draws
        self._last = self._view = None
        self._after_return = False
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)

    async def read_key(self) -> str:
        """The next key: "0" to "9", "*" (also Backspace, Delete), "#" (also Enter), an upper-case letter; no other."""
        while True:
            # Polled, because a closed pipe would keep MicroPython's event loop busy for ever.
            while not self._poll.poll(0):
                await asyncio.sleep(_PAUSE_MS / 1000)
            key = _read()
            if not key:
                while True:  # nobody will ever type again
                    await asyncio.sleep(3600)
            if key == "\n" and self._after_return:
                key = " "  # CR LF is one Enter
            self._after_return = key == "\r"
            if key in "\r\n":
                return "#"
            if key in "\b\x7f":
                return "*"
            key = key.upper()
            if key in "0123456789*#ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                return key

    def show(self, view) -> None:
        """One line, `[title] text entry`, when it differs from the last, or when the very same view comes again: somebody has
        asked for it, perhaps at a terminal that was not there before. view: title, text, entry, and `get("qr")`: what the QR code
        below it says, up to 49 columns and 25 lines."""
        line = "[" + view.title + "] " + view.text
        if view.entry:
            # Masked by the agent already; a digit here would be a secret on a line that somebody logs.
            line += " " + "".join(["*" if character.isdigit() else character for character in view.entry])
        code = self._draws and view.get("qr") or ""
        if line + code != self._last or view is self._view:
            self._last = line + code
            self._view = view
            sys.stdout.write(line + "\n")
            if code:
                try:
                    from latchpin.adapters import qr_drawing

                    qr_drawing.write(code, sys.stdout)
                except (ValueError, MemoryError):
                    pass  # too long, no room, or no such characters in this terminal: the line above says it too
                runtime.make_room("adapters.qr_drawing", "adapters.qr_code")
            if hasattr(sys.stdout, "flush"):
                sys.stdout.flush()


def _read():
    if _read_descriptor is not None:
        return _read_descriptor(sys.stdin.fileno(), 1).decode("latin-1")
    return "".join([chr(byte) for byte in sys.stdin.buffer.read(1)])
