"""A character display with an HD44780 behind a PCF8574 on I2C: 16x2 or 20x4.

Not for decisions: it shows what it is given, and turns pages where that is longer than the display.
"""

import asyncio
import time

PAGE_S = 2

# The PCF8574's pins as the usual backpack wires them; P4 to P7 are D4 to D7.
_RS, _ENABLE, _LIGHT = 0x01, 0x04, 0x08


class LcdHd44780:
    """i2c: a machine.I2C, 100 kHz is enough; address: 0x27 (PCF8574) or 0x3F (PCF8574A)."""

    def __init__(self, i2c, address: int = 0x27, columns: int = 16, rows: int = 2):
        self._i2c = i2c
        self._address = address
        self._columns = columns
        self._rows = rows
        self._shown = [""] * rows
        self._head = ""
        self._pages = [[]]
        self._turning = None
        # HD44780U data sheet, figure 24: initialisation by instruction, 4-bit interface.
        time.sleep(0.05)
        for pause_s in (0.005, 0.0002, 0.0002):
            self._nibble(0x30, 0)
            time.sleep(pause_s)
        self._nibble(0x20, 0)
        # Two lines; display off; clear; cursor moves right; display on.
        for command in (0x28, 0x08, 0x01, 0x06, 0x0C):
            self._byte(command, 0)
            time.sleep(0.002)

    def show(self, view) -> None:
        """Title and entry in the first row, the text below. view: title, text, entry."""
        gap = self._columns - len(view.title) - len(view.entry)
        self._head = view.title + " " * gap + view.entry if gap > 0 else (view.entry or view.title)
        lines = wrap(view.text, self._columns)
        below = self._rows - 1
        self._pages = [lines[at : at + below] for at in range(0, len(lines), below)] or [[]]
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        self._draw(0)
        if len(self._pages) > 1:
            self._turning = asyncio.create_task(self._turn())

    async def _turn(self):
        page = 0
        while True:
            await asyncio.sleep(PAGE_S)
            page = (page + 1) % len(self._pages)
            self._draw(page)

    def _draw(self, page):
        lines = [self._head] + self._pages[page]
        for row in range(self._rows):
            line = lines[row] if row < len(lines) else ""
            line = line[: self._columns]
            line += " " * (self._columns - len(line))
            if line != self._shown[row]:
                self._shown[row] = line
                # Rows 2 and 3 of a 20x4 go on where 0 and 1 end.
                self._byte(0x80 | ((row & 1) * 0x40 + (row >> 1) * self._columns), 0)
                for character in line:
                    self._byte(ord(character) if " " <= character <= "}" and character != "\\" else 0x3F, _RS)

    def _byte(self, value, select):
        self._nibble(value & 0xF0, select)
        self._nibble(value << 4 & 0xF0, select)

    def _nibble(self, high, select):
        # RS stands before E rises, the nibble is taken over when E falls; the bus is slower than any of the data sheet's limits.
        data = high | select | _LIGHT
        self._i2c.writeto(self._address, bytes((data, data | _ENABLE, data)))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most `columns` characters, broken at blanks where there are any."""
    lines = []
    line = ""
    for word in text.split():
        while len(word) > columns:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:columns])
            word = word[columns:]
        if line and len(line) + 1 + len(word) > columns:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    if line:
        lines.append(line)
    return lines
