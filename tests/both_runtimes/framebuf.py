"""MicroPython's `framebuf` for CPython, as far as the displays use it, with a made-up font: every character differs.

Not for MicroPython: there the built-in module comes first.
"""

MONO_VLSB, MONO_HLSB = 0, 3


class FrameBuffer:
    """One row of eight pixels' height."""

    def __init__(self, buffer, width, height, form):
        assert height == 8 and form in (MONO_VLSB, MONO_HLSB) and len(buffer) == width
        self._buffer = buffer
        self._width = width
        self._form = form

    def pixel(self, x, y, colour):
        at, bit = (x, 1 << y) if self._form == MONO_VLSB else (y * self._width // 8 + x // 8, 0x80 >> x % 8)
        self._buffer[at] = self._buffer[at] | bit if colour else self._buffer[at] & ~bit

    def fill(self, colour):
        for at in range(len(self._buffer)):
            self._buffer[at] = 0xFF if colour else 0

    def text(self, text, x, y, colour):
        for number, character in enumerate(text):
            for column in range(8):
                bits = ord(character) * (2 * column + 1) + column & 0xFF if character != " " else 0
                for row in range(8):
                    if bits >> row & 1 and x + 8 * number + column < self._width:
                        self.pixel(x + 8 * number + column, y + row, colour)
