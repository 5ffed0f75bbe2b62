"""A character display with an HD44780 behind a PCF8574 on I2C: 16x2 or 20x4.

Not for decisions: what stands where is text_screen.py's.
"""

import time

from latchpin.adapters.text_screen import TextScreen

# The PCF8574's pins as the usual backpack wires them; P4 to P7 are D4 to D7.
_RS, _ENABLE, _LIGHT = 0x01, 0x04, 0x08


class LcdHd44780(TextScreen):
    """i2c: a machine.I2C, 100 kHz is enough; address: 0x27 (PCF8574) or 0x3F (PCF8574A)."""

    def __init__(self, i2c, address: int = 0x27, columns: int = 16, rows: int = 2):
        TextScreen.__init__(self, columns, rows)
        self._i2c = i2c
        self._address = address
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

    def put(self, row: int, column: int, text: str) -> None:
        """Write from there on. What the character ROM has not is a question mark."""
        # Rows 2 and 3 of a 20x4 go on where 0 and 1 end.
        self._byte(0x80 | ((row & 1) * 0x40 + (row >> 1) * self._columns + column), 0)
        for character in text:
            self._byte(ord(character) if " " <= character <= "}" and character != "\\" else 0x3F, _RS)

    def _byte(self, value, select):
        self._nibble(value & 0xF0, select)
        self._nibble(value << 4 & 0xF0, select)

    def _nibble(self, high, select):
        # RS stands before E rises, the nibble is taken over when E falls; the bus is slower than any of the data sheet's limits.
        data = high | select | _LIGHT
        self._i2c.writeto(self._address, bytes((data, data | _ENABLE, data)))
