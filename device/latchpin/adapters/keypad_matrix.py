"""A matrix keypad, 4x4 or 4x3: scanned, debounced, two keys at a time.

Not for decisions: which key means what is the agent's.
"""

import asyncio

SCAN_S = 0.01
SAME = 3
KEYS_4X4 = "123A456B789C*0#D"


class KeypadMatrix:
    """rows: pins as open drain, 1 at rest; columns: pins as inputs with pull-up; keys: row by row, one character each.

    A contact bounces for up to 20 ms: a state counts when it was seen by SAME scans in a row.
    """

    def __init__(self, rows, columns, keys: str = KEYS_4X4):
        self._rows = rows
        self._columns = columns
        self._keys = keys
        self._last = 0
        self._seen = 0
        self._stable = 0
        self._new = ""
        for row in rows:
            row.value(1)

    async def read_key(self) -> str:
        """The next key that goes down."""
        while not self._new:
            await asyncio.sleep(SCAN_S)
            self._step(self._scan())
        key, self._new = self._new[0], self._new[1:]
        return key

    def _step(self, state):
        self._seen = self._seen + 1 if state == self._last else 1
        self._last = state
        if self._seen < SAME or state == self._stable or self._ghost(state):
            return
        down = state & ~self._stable
        self._stable = state
        for position, key in enumerate(self._keys):
            if down >> position & 1:
                self._new += key

    def _scan(self):
        # One bit a key, the first row lowest.
        state = 0
        bit = 1
        for row in self._rows:
            row.value(0)
            for column in self._columns:
                if not column.value():
                    state |= bit
                bit <<= 1
            row.value(1)
        return state

    def _ghost(self, state):
        # Three keys at the corners of a rectangle close the fourth: two rows then share two columns, and nobody can tell.
        width = len(self._columns)
        mask = (1 << width) - 1
        for first in range(len(self._rows)):
            for second in range(first):
                shared = state >> first * width & state >> second * width & mask
                if shared & shared - 1:
                    return True
        return False
