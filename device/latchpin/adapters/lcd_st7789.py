"""A colour display with an ST7789: white characters, a title in the colour of the state, narrow ones beside a QR code.

Not for decisions: what stands where is text_screen.py's. Not for wires: `SpiWires` below, or wires_i80.py.
"""

import time

import framebuf

from latchpin.adapters.text_screen import TextScreen

BLACK, WHITE = 0x0000, 0xFFFF
# What a person should tell apart from across the room: RGB565. boards/README.md tells people the same.
COLOURS = {
    "ready": 0x07E0,
    "answer": 0x07E0,
    "waiting": 0x07FF,
    "short": 0x07FF,
    "typo": 0xFFE0,
    "wrong_answer": 0xFC00,
    "expired": 0xF81F,
    "locked": 0xF800,
    "offline": 0x8410,
    "silence": 0x8410,
}
_TALL = 16  # pixels of a row: each of the font's eight is shown twice


class SpiWires:
    """spi: a machine.SPI that writes; cs, dc: outputs."""

    def __init__(self, spi, cs, dc):
        self._spi = spi
        self._cs = cs
        self._dc = dc

    def command(self, code: int, data: bytes = b"") -> None:
        """D/C is low for the command alone (data sheet 8.4.2)."""
        self._dc.value(0)
        self._cs.value(0)
        self._spi.write(bytes((code,)))
        self._dc.value(1)
        if data:
            self._spi.write(data)
        self._cs.value(1)

    def data(self, data) -> None:
        """More of what the last command began: it may be interrupted between two bytes (data sheet 8.5)."""
        self._cs.value(0)
        self._spi.write(data)
        self._cs.value(1)


class LcdSt7789(TextScreen):
    """wires: SpiWires or I80Wires; width, height: pixels as a person sees them; x, y: where these begin in the controller's
    240x320; turn: MADCTL (0x00 upright, 0x60 landscape); wide: 1 or 2, how often each of the font's columns is shown;
    rows: of text, if not all of them."""

    def __init__(self, wires, width: int, height: int, x: int, y: int, turn: int, wide: int = 2, rows: int = 0):
        TextScreen.__init__(self, width // (8 * wide), rows or height // _TALL)
        self._wires = wires
        self._corner = x, y
        self._wide = self._usual = wide
        self._width = width
        self._square = rows * _TALL or height
        self._title = -1
        wires.command(0x01)  # SWRESET; 120 ms before SLPOUT (data sheet 9.1.2)
        time.sleep(0.15)
        wires.command(0x11)  # SLPOUT; 120 ms until the supply stands (9.1.12)
        time.sleep(0.12)
        wires.command(0x3A, b"\x55")  # COLMOD: 16 bits a pixel
        wires.command(0x36, bytes((turn,)))
        wires.command(0x21)  # INVON: these panels are made the other way round
        self.fill(0, 0, width, height, BLACK)
        wires.command(0x29)  # DISPON

    def show(self, view) -> None:
        """view: code, title, text, entry."""
        title = COLOURS.get(view.code, WHITE)
        if title != self._title:
            self._title = title
            self._shown[0] = "\x00" * self._columns
        TextScreen.show(self, view)

    def put(self, row: int, column: int, text: str) -> None:
        """Write from there on."""
        colours = (WHITE, BLACK) if row else (BLACK, self._title)
        self.text(column * 8 * self._wide, row * _TALL, text, colours[0], colours[1])

    def paint(self, code: str) -> int:
        """To the right, as high as the text or the display."""
        size = self._square
        left = self._width - size
        if code:
            from latchpin.adapters import qr_drawing

            drawn = qr_drawing.lines(code, size)
            line = next(drawn)
            self._window(left, 0, size, size)
            while line:
                self._wires.data(line)
                line = next(drawn, None)
            self._wide = 1
            return left // 8
        self.fill(left, 0, size, size, BLACK)
        self._wide = self._usual
        return self._width // (8 * self._usual)

    def text(self, x: int, y: int, text: str, ink: int, paper: int) -> None:
        """Characters of 8 * wide times 16 pixels, from this corner on."""
        count = len(text)
        bits = bytearray(8 * count)
        framebuf.FrameBuffer(bits, 8 * count, 8, framebuf.MONO_HLSB).text(text, 0, 0, 1)
        # Four pixels at a time: what each half of a byte looks like in these colours.
        looks = []
        for half in range(16):
            look = b""
            for bit in (8, 4, 2, 1):
                look += (ink if half & bit else paper).to_bytes(2, "big") * self._wide
            looks.append(look)
        self._window(x, y, 8 * self._wide * count, _TALL)
        for at in range(0, len(bits), count):
            line = b"".join([looks[byte >> 4] + looks[byte & 15] for byte in bits[at : at + count]])
            self._wires.data(line)
            self._wires.data(line)

    def fill(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        self._window(x, y, width, height)
        line = colour.to_bytes(2, "big") * width
        for _ in range(height):
            self._wires.data(line)

    def _window(self, x, y, width, height):
        # CASET, RASET, RAMWR (9.1.20 to 9.1.22).
        left, top = x + self._corner[0], y + self._corner[1]
        self._wires.command(0x2A, left.to_bytes(2, "big") + (left + width - 1).to_bytes(2, "big"))
        self._wires.command(0x2B, top.to_bytes(2, "big") + (top + height - 1).to_bytes(2, "big"))
        self._wires.command(0x2C)
