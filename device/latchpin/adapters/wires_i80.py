"""Eight data lines to a display (the 8080 way), moved by an ESP32-S3's GPIO registers: stock MicroPython has no driver for it.

Not for a display: lcd_st7789.py. Not for other chips: their registers lie elsewhere.
"""

from machine import mem32

# ESP32-S3 technical reference manual, section 6.14: write 1 to set, write 1 to clear, for GPIO 0 to 31 and 32 to 48.
_SET, _CLEAR = (0x60004008, 0x60004014), (0x6000400C, 0x60004018)


class I80Wires:
    """data: the GPIO numbers of D0 to D7, all of them from 32 on; write, dc: GPIO numbers below 32; cs: an output.
    All are outputs already; RD stays high, outside."""

    def __init__(self, data: tuple, write: int, dc: int, cs):
        self._write = 1 << write
        self._dc = 1 << dc
        self._cs = cs
        self._all = sum([1 << number - 32 for number in data])
        # What to set for each half of a byte.
        low, high = [], []
        for half in range(16):
            low.append(sum([1 << data[bit] - 32 for bit in range(4) if half >> bit & 1]))
            high.append(sum([1 << data[4 + bit] - 32 for bit in range(4) if half >> bit & 1]))
        self._low, self._high = low, high

    def command(self, code: int, data: bytes = b"") -> None:
        """D/C is low for the command alone (ST7789 data sheet 8.3.2)."""
        mem32[_CLEAR[0]] = self._dc
        self.data((code,))
        mem32[_SET[0]] = self._dc
        if data:
            self.data(data)

    def data(self, data) -> None:
        """More of what the last command began."""
        low, high, write, every = self._low, self._high, self._write, self._all
        set0, clear0, set1, clear1 = _SET[0], _CLEAR[0], _SET[1], _CLEAR[1]
        last = -1
        self._cs.value(0)
        for byte in data:
            mem32[clear0] = write
            if byte != last:  # most of a picture is one colour
                mem32[clear1] = every
                mem32[set1] = low[byte & 15] | high[byte >> 4]
                last = byte
            mem32[set0] = write  # the display takes the byte over when WR rises
        self._cs.value(1)
