"""A graphic display with an SSD1306 on I2C, 128x64 or 128x32: 16 columns of 8x8 characters, the title inverted, or half of them
and a QR code.

Not for decisions: what stands where is text_screen.py's.
"""

import framebuf

from latchpin.adapters.text_screen import TextScreen

_WIDTH = 128
# SSD1306 data sheet 8.1.5.2: the control byte says whether commands follow, or bytes for the display's memory.
_COMMANDS, _DATA = 0x00, 0x40


class OledSsd1306(TextScreen):
    """i2c: a machine.I2C, 400 kHz; address: 0x3C or 0x3D; height: 64 or 32."""

    def __init__(self, i2c, address: int = 0x3C, height: int = 64):
        TextScreen.__init__(self, _WIDTH // 8, height // 8)
        self._i2c = i2c
        self._address = address
        # One row is one page of the display's memory: 128 columns of eight pixels.
        self._strip = bytearray(1 + _WIDTH)
        self._strip[0] = _DATA
        self._canvas = framebuf.FrameBuffer(memoryview(self._strip)[1:], _WIDTH, 8, framebuf.MONO_VLSB)
        # Section 9 and the application note's software initialisation; the charge pump makes the panel's voltage.
        self._command(0xAE, 0xD5, 0x80, 0xA8, height - 1, 0xD3, 0x00, 0x40, 0x8D, 0x14, 0x20, 0x00, 0xA1, 0xC8)
        self._command(0xDA, 0x12 if height == 64 else 0x02, 0x81, 0xCF, 0xD9, 0xF1, 0xDB, 0x40, 0xA4, 0xA6)
        for row in range(height // 8):  # the memory starts with noise
            self.put(row, 0, " " * self._columns)
        self._command(0xAF)

    def put(self, row: int, column: int, text: str) -> None:
        """Write from there on."""
        ink = 1 if row else 0
        self._canvas.fill(1 - ink)
        self._canvas.text(text, 0, 0, ink)
        width = 8 * len(text)
        self._send(row, 8 * column, width)

    def paint(self, code: str) -> int:
        """To the right, as high as the display. What is gone needs no wiping: characters come in its place."""
        columns = _WIDTH // 8
        if code:
            from latchpin.adapters import qr_drawing

            size = 8 * len(self._shown)
            columns -= len(self._shown)
            for row, page in enumerate(qr_drawing.pages(code, size)):
                self._strip[1 : 1 + size] = page
                self._send(row, _WIDTH - size, size)
        return columns

    def _send(self, row, left, width):
        # Horizontal addressing: this window of columns, this page.
        self._command(0x21, left, left + width - 1, 0x22, row, row)
        self._i2c.writeto(self._address, memoryview(self._strip)[: 1 + width])

    def _command(self, *codes):
        self._i2c.writeto(self._address, bytes((_COMMANDS,) + codes))
