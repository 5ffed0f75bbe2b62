"""A QR code as displays want it: pages of an SSD1306, lines of an ST7789, half blocks of a terminal. Dark on light, always.

Not the code itself: qr_code.py. Not kept in memory: whoever has drawn unloads both.
"""

from latchpin.adapters.qr_code import QrCode

# By the upper module and the one below it; black on bright white, whatever the terminal's own colours are.
_BLOCKS = " \u2584\u2580\u2588"
_COLOURS, _PLAIN = "\x1b[30;107m", "\x1b[0m"
_QUIET = 4


def pages(text: str, size: int):
    """A square of `size` pixels, eight rows at a time: a byte for each column, its lowest bit on top, 1 for light.
    Raises ValueError as `_rows`."""
    rows = _rows(text, size)
    for _ in range(size // 8):
        page = bytearray(size)
        for bit in range(8):
            row = next(rows)
            for x in range(size):
                page[x] |= row[x] << bit
        yield page


def lines(text: str, size: int):
    """The same, a row at a time, two bytes a pixel: 0 or 0xFFFF. Raises ValueError as `_rows`."""
    last = line = None
    for row in _rows(text, size):
        if row is not last:
            last = row
            line = b"".join([b"\xff\xff" if light else b"\0\0" for light in row])
        yield line


def write(text: str, terminal) -> None:
    """Lines of half blocks, two rows of modules each, with a full quiet zone around. Raises ValueError: too long."""
    code = QrCode(text.encode())
    size = code.side + 2 * _QUIET
    for y in range(-_QUIET, code.side + _QUIET, 2):
        line = ""
        for x in range(-_QUIET, size - _QUIET):
            line += _BLOCKS[2 * _dark(code, x, y) + _dark(code, x, y + 1)]
        terminal.write(_COLOURS + line + _PLAIN + "\n")


def _dark(code, x, y):
    return 0 <= x < code.side and 0 <= y < code.side and code.dark(x, y)


def _rows(text, size):
    # 1 for light. Raises ValueError: too long for modules of two pixels with one and a half of quiet zone.
    code = QrCode(text.encode())
    scale = size // (code.side + 3)
    if scale < 2:
        raise ValueError("too small")
    start = (size - scale * code.side) // 2
    before, row = None, b""
    for pixel in range(size):
        y = (pixel - start) // scale
        if y != before:
            before = y
            row = bytearray(size)
            for x in range(size):
                row[x] = not _dark(code, (x - start) // scale, y)
        yield row
