"""Twelve keys drawn on a display, read by a touch controller on I2C: CST816 or FT6x36, whose registers are alike.

Not for decisions: which key means what is the agent's.
"""

import asyncio

KEYS = "123456789*0#"
SCAN_S = 0.02
SAME = 2
_INK, _PAPER = 0xFFFF, 0x2104


class TouchKeypad:
    """i2c: a machine.I2C; address: 0x15 (CST816) or 0x38 (FT6x36); display: has `fill` and `text` (lcd_st7789.py), in the
    touch controller's own coordinates; x, y, width, height: where the keys are."""

    def __init__(self, i2c, address: int, display, x: int, y: int, width: int, height: int):
        self._i2c = i2c
        self._address = address
        self._corner = x, y
        self._size = width // 3, height // 4
        self._last = ""
        self._seen = 0
        self._stable = ""
        across, down = self._size
        for number, key in enumerate(KEYS):
            left, top = x + number % 3 * across, y + number // 3 * down
            display.fill(left + 1, top + 1, across - 2, down - 2, _PAPER)
            display.text(left + across // 2 - 4, top + down // 2 - 8, key, _INK, _PAPER)

    async def read_key(self) -> str:
        """The next key that is touched; a finger has to leave it before it counts again."""
        while True:
            await asyncio.sleep(SCAN_S)
            key = self._key()
            self._seen = self._seen + 1 if key == self._last else 1
            self._last = key
            if self._seen == SAME and key != self._stable:
                # From one key straight to another is a slip of the finger, not a second key.
                slipped = self._stable
                self._stable = key
                if key and not slipped:
                    return key

    def _key(self):
        # 0x02: how many fingers; then x and y of the first, twelve bits each, high byte first.
        try:
            found = self._i2c.readfrom_mem(self._address, 0x02, 5)
        except OSError:
            return ""  # a CST816 sleeps until it is touched, and does not answer
        if not found[0] & 0x0F:
            return ""
        return self._at(((found[1] & 0x0F) << 8 | found[2], (found[3] & 0x0F) << 8 | found[4]))

    def _at(self, finger):
        column, row = [(finger[way] - self._corner[way]) // self._size[way] for way in (0, 1)]
        return KEYS[row * 3 + column] if 0 <= column < 3 and 0 <= row < 4 else ""
