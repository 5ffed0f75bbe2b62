"""A QR code (ISO/IEC 18004) of up to 134 bytes: byte mode, level L, versions 1 to 6.

Not for drawing: a display asks `dark(x, y)`. Always mask 0: the standard's choice among eight costs seconds on a chip, and every
reader reads all of them.
"""

from latchpin.runtime import const

# For each version, data bytes and error correction bytes of a block; version 6 has two blocks (table 9 of the standard).
_DATA = const(b"\x13\x22\x37\x50\x6c\x44")
_CHECK = const(b"\x07\x0a\x0f\x14\x1a\x12")
# Level L and mask 0 with their BCH code and mask (table C.1).
_FORMAT = const(0b111011111000100)


class QrCode:
    """The code of `data`: `side` modules wide and high, without the quiet zone of four around it.

    Raises ValueError: it is longer than 134 bytes.
    """

    def __init__(self, data: bytes):
        version = 1
        while version < 7 and len(data) + 2 > _DATA[version - 1] * (1 + version // 6):
            version += 1
        if version == 7:
            raise ValueError("too long")
        self.side = side = version * 4 + 17
        self._dark = bytearray(side * side)
        self._used = bytearray(side * side)
        for x, y in ((0, 0), (side - 7, 0), (0, side - 7)):
            self._finder(x, y)
        if version > 1:
            self._square(side - 9, side - 9, 5)
        for at in range(8, side - 8):
            self._set(at, 6, at & 1 == 0)
            self._set(6, at, at & 1 == 0)
        self._format(side)
        self._fill(_codewords(data, version))

    def dark(self, x: int, y: int) -> bool:
        """Whether the module in column x of row y is dark."""
        return self._dark[y * self.side + x] == 1

    def _set(self, x, y, dark):
        at = y * self.side + x
        if not self._used[at]:
            self._used[at] = 1
            self._dark[at] = dark

    def _finder(self, left, top):
        self._square(left, top, 7)
        # The separator: a light line on the two inner sides; outside of the code there is nothing to set.
        for at in range(-1, 8):
            for x, y in ((left + at, top - 1), (left + at, top + 7), (left - 1, top + at), (left + 7, top + at)):
                if 0 <= x < self.side and 0 <= y < self.side:
                    self._set(x, y, 0)

    def _square(self, left, top, size):
        # Dark ring, light ring, dark heart: a finder of 7 or an alignment pattern of 5.
        for x in range(size):
            for y in range(size):
                ring = min(x, y, size - 1 - x, size - 1 - y)
                self._set(left + x, top + y, ring != 1)

    def _format(self, side):
        # Twice: around the first finder, and split over the two others (figure 25).
        for bit in range(15):
            dark = _FORMAT >> bit & 1
            low = bit + (bit > 5)
            high = 14 - bit + (bit < 9)
            if bit < 8:
                self._set(8, low, dark)
                self._set(side - 1 - bit, 8, dark)
            else:
                self._set(high if bit > 8 else 7, 8, dark)
                self._set(8, side - 15 + bit, dark)
        self._set(8, side - 8, 1)

    def _fill(self, codewords):
        # Two columns at a time from the right, up and down in turn, around what is there (section 7.7.3).
        side = self.side
        bit = 0
        for right in range(side - 1, 0, -2):
            right -= right <= 6
            upward = (side - 1 - right - (right < 6)) // 2 & 1 == 0
            for step in range(side):
                y = side - 1 - step if upward else step
                for x in (right, right - 1):
                    at = y * side + x
                    if not self._used[at]:
                        dark = codewords[bit >> 3] >> (7 - (bit & 7)) & 1 if bit >> 3 < len(codewords) else 0
                        self._dark[at] = dark ^ ((x + y) & 1 == 0)
                        bit += 1


def _codewords(data, version):
    blocks = 1 + version // 6
    size = _DATA[version - 1]
    # Mode 0100, a length of eight bits, the bytes and four bits of 0 (section 7.4.5), all half a byte off.
    number = int.from_bytes(bytes((4, len(data))) + data, "big") << 4
    padded = number.to_bytes(len(data) + 3, "big")[1:]
    padded += (b"\xec\x11" * size)[: size * blocks - len(padded)]
    parts = [padded[at : at + size] for at in range(0, size * blocks, size)]
    parts = [parts, [_remainder(part, _CHECK[version - 1]) for part in parts]]
    return bytes([block[at] for group in parts for at in range(len(group[0])) for block in group])


def _remainder(data, count):
    # Reed-Solomon over GF(256), polynomial 0x11d (section 7.5.2).
    generator = bytearray(count)
    generator[-1] = 1
    root = 1
    for _ in range(count):
        for at in range(count):
            generator[at] = _times(generator[at], root) ^ (generator[at + 1] if at + 1 < count else 0)
        root = _times(root, 2)
    result = bytearray(count)
    for byte in data:
        factor = byte ^ result[0]
        result = result[1:] + b"\0"
        for at in range(count):
            result[at] ^= _times(generator[at], factor)
    return result


def _times(one, other):
    product = 0
    while other:
        if other & 1:
            product ^= one
        one = one << 1 ^ (one >> 7) * 0x11D
        other >>= 1
    return product
