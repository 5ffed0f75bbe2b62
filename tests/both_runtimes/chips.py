"""Parts as their data sheets describe them, as far as an adapter can reach them: what they saw, and what stands on their glass.

Not for boards: tests/adapters/simulated has those.
"""

import time

import framebuf

if hasattr(time, "ticks_us"):
    now_us = time.ticks_us
else:

    def now_us():
        return time.perf_counter_ns() // 1000


class View:
    """What the agent shows."""

    def __init__(self, code, title="", text="", entry="", qr=None):
        self.code = code
        self.title = title
        self.text = text
        self.entry = entry
        self._qr = qr

    def get(self, field):
        assert field == "qr"
        return self._qr


class Pin:
    """An input or an output; `changes`: every level that it was given."""

    IRQ_FALLING, IRQ_RISING = 2, 1

    def __init__(self, level=1):
        self.level = level
        self.changes = []
        self._handlers = []

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level
        self.changes.append(level)

    def irq(self, handler, trigger):
        assert trigger == self.IRQ_FALLING | self.IRQ_RISING
        self._handlers.append(handler)

    def outside(self, level):
        """The world outside moves it."""
        if level != self.level:
            self.level = level
            for handler in self._handlers:
                handler(self)


class Hd44780:
    """An I2C bus with one on it, behind a PCF8574. Checks the data sheet's times; knows what stands on the glass."""

    def __init__(self, columns=16, rows=2):
        self.columns = columns
        self.rows = rows
        self.power_us = now_us()
        self.port = 0xFF  # a PCF8574 starts with all of its outputs high: that is a read, and no command
        self.four_bits = False
        self.high = None
        self.memory = [0x20] * 0x80
        self.at = 0
        self.wakes = 0
        self.free_us = self.power_us + 40_000  # "Wait for more than 40 ms after VCC rises to 2.7 V"
        self.on = False
        self.two_lines = False
        self.data_bytes = 0

    def writeto(self, address, data):
        assert address == 0x27
        for value in data:
            before, self.port = self.port, value
            assert value & 0x08, "the back light stays on"
            assert not value & 0x02, "R/W is low: we only write"
            if value & 0x04 and not before & 0x04:
                assert (before ^ value) & ~0x04 == 0, "RS and data stand before E rises (tAS)"
            if before & 0x04 and not before & 0x02 and not value & 0x04:
                assert (before ^ value) & ~0x04 == 0, "and stay until it has fallen (tH)"
                self._nibble(value >> 4, value & 0x01)

    def _nibble(self, nibble, select):
        assert now_us() >= self.free_us, "still busy"
        if not self.four_bits:
            assert not select
            if nibble == 3:
                self.wakes += 1
                self.free_us = now_us() + (4_100 if self.wakes == 1 else 100)
            else:
                assert nibble == 2 and self.wakes >= 3
                self.four_bits = True
        elif self.high is None:
            self.high = nibble
        else:
            value, self.high = self.high << 4 | nibble, None
            if select:
                self.memory[self.at] = value
                self.at += 1
                self.data_bytes += 1
            else:
                self._command(value)

    def _command(self, value):
        if value & 0x80:
            self.at = value & 0x7F
        elif value & 0x20:
            assert value & 0x1C == 0x08, "4 bits, two lines, 5x8 dots"
            self.two_lines = True
        elif value & 0x08:
            self.on = bool(value & 0x04)
        elif value & 0x04:
            assert value == 0x06
        elif value == 0x01:
            self.memory = [0x20] * 0x80
            self.at = 0
            self.free_us = now_us() + 1_520

    def glass(self):
        assert self.on and self.two_lines
        starts = (0x00, 0x40, self.columns, 0x40 + self.columns)[: self.rows]
        return ["".join([chr(code) for code in self.memory[at : at + self.columns]]) for at in starts]


# By its columns, what a character looks like in the font at hand.
FONT = {}
for _code in range(0x20, 0x7F):
    _glyph = bytearray(8)
    framebuf.FrameBuffer(_glyph, 8, 8, framebuf.MONO_VLSB).text(chr(_code), 0, 0, 1)
    FONT[bytes(_glyph)] = chr(_code)


# How many arguments a command takes.
_OLED_ARGUMENTS = {0xD5: 1, 0xA8: 1, 0xD3: 1, 0x8D: 1, 0x20: 1, 0xDA: 1, 0x81: 1, 0xD9: 1, 0xDB: 1, 0x21: 2, 0x22: 2}
_OLED_ALONE = {0xAE, 0xAF, 0xA0, 0xA1, 0xC0, 0xC8, 0xA4, 0xA5, 0xA6, 0xA7} | set(range(0x40, 0x80))


class Ssd1306:
    """An I2C bus with one on it (SSD1306 data sheet, sections 8.1.5, 8.7, 9 and 10). `commands`: all that it was told."""

    NOISE = 0xA5

    def __init__(self, address=0x3C):
        self.address = address
        self.memory = [bytearray([self.NOISE] * 128) for _ in range(8)]
        self.commands = []
        self.set = {0x20: (2,), 0x21: (0, 127), 0x22: (0, 7)}
        self.on = False
        self.at = (0, 0)
        self.data_bytes = 0

    def writeto(self, address, data):
        assert address == self.address
        if data[0] == 0x40:
            self._remember(data[1:])
            return
        assert data[0] == 0x00
        codes = list(data[1:])
        while codes:
            code = codes.pop(0)
            assert code in _OLED_ARGUMENTS or code in _OLED_ALONE, hex(code)
            arguments = tuple([codes.pop(0) for _ in range(_OLED_ARGUMENTS.get(code, 0))])
            self.commands.append((code,) + arguments)  # noqa: RUF005  (MicroPython has no stars there)
            self.set[code] = arguments
            if code in (0x21, 0x22):
                assert arguments[0] <= arguments[1] <= (127 if code == 0x21 else 7)
                self.at = (self.set[0x21][0], self.set[0x22][0])
            elif code in (0xAE, 0xAF):
                self.on = code == 0xAF

    def _remember(self, data):
        assert self.set[0x20] == (0,), "horizontal addressing"
        column, page = self.at
        for byte in data:
            self.memory[page][column] = byte
            self.data_bytes += 1
            column += 1
            if column > self.set[0x21][1]:
                column = self.set[0x21][0]
                page = page + 1 if page < self.set[0x22][1] else self.set[0x22][0]
        self.at = (column, page)

    def pixel(self, x, y):
        return self.memory[y // 8][x] >> y % 8 & 1

    def glass(self, columns=16):
        """What stands there, row by row, of the first columns; the first row is inverted."""
        assert self.on and self.set[0x8D] == (0x14,)
        rows = []
        for page in range((self.set[0xA8][0] + 1) // 8):
            starts = range(0, 8 * columns, 8)
            line = [bytes([byte ^ (0 if page else 0xFF) for byte in self.memory[page][at : at + 8]]) for at in starts]
            rows.append("".join([FONT[glyph] for glyph in line]))
        return rows


_LCD_ARGUMENTS = {0x01: 0, 0x11: 0, 0x21: 0, 0x29: 0, 0x3A: 1, 0x36: 1, 0x2A: 4, 0x2B: 4, 0x2C: 0}


class St7789:
    """The controller with its 240x320 pixels (ST7789V data sheet, 8.4, 9.1). `log`: every command with its arguments;
    `heard`: how many bytes it took; `memory`: two bytes a pixel, as wide as it lies."""

    NOISE = 0x5A

    def __init__(self):
        self.log = []
        self.heard = 0
        self.memory = bytearray(bytes([self.NOISE]) * (240 * 320 * 2))
        self.width = 240
        self.colours = None
        self.inverted = self.on = False
        self._quiet_until_us = now_us()
        self._columns = self._rows = (0, 0)
        self._at = (0, 0, 0)

    def take(self, data, level):
        """Bytes while D/C has that level."""
        self.heard += len(data)
        if level and self.log[-1][0] == 0x2C:
            self._paint(data)
        elif level:
            for byte in data:
                self._argue(byte)
        else:
            for byte in data:
                self._command(byte)

    def _command(self, code):
        if self.log:
            assert len(self.log[-1]) - 1 == _LCD_ARGUMENTS[self.log[-1][0]], "a command cut short"
        assert now_us() >= self._quiet_until_us, "too soon after SWRESET or SLPOUT"
        assert code in _LCD_ARGUMENTS, hex(code)
        self.log.append([code])
        if code in (0x01, 0x11):
            self._quiet_until_us = now_us() + 119_000
        elif code == 0x21:
            self.inverted = True
        elif code == 0x29:
            self.on = True
        elif code == 0x2C:
            self._at = (self._columns[0], self._rows[0], 0)

    def _argue(self, byte):
        command = self.log[-1]
        command.append(byte)
        code = command[0]
        assert len(command) - 1 <= _LCD_ARGUMENTS[code]
        if code == 0x3A:
            self.colours = byte
        elif code == 0x36:
            self.width = 320 if byte & 0x20 else 240
        elif len(command) == 5:
            first, last = command[1] << 8 | command[2], command[3] << 8 | command[4]
            assert first <= last < (self.width if code == 0x2A else 560 - self.width)
            if code == 0x2A:
                self._columns = first, last
            else:
                self._rows = first, last

    def _paint(self, data):
        x, y, half = self._at
        at = 0
        while at < len(data):
            start = (y * self.width + x) * 2 + half
            count = min(len(data) - at, (self._columns[1] + 1 - x) * 2 - half)
            self.memory[start : start + count] = data[at : at + count]
            at += count
            x, half = x + (half + count) // 2, (half + count) % 2
            if x > self._columns[1]:
                x, y = self._columns[0], y + 1
                if y > self._rows[1]:
                    y = self._rows[0]
        self._at = (x, y, half)

    def pixel(self, x, y):
        start = (y * self.width + x) * 2
        return self.memory[start] << 8 | self.memory[start + 1]

    def row(self, x, y, columns, wide=2):
        """(text, ink, paper) of the characters from this corner on; every pixel of the font is shown `wide` times, and twice
        in height."""
        assert self.on and self.inverted and self.colours == 0x55
        colours = []
        dots = []  # of each column of the font, its eight colours
        for across in range(8 * columns):
            dots.append([self.pixel(x + across * wide, y + 2 * down) for down in range(8)])
            for down in range(16):
                for again in range(wide):
                    colour = self.pixel(x + across * wide + again, y + down)
                    assert colour == dots[-1][down // 2], "a pixel of another size"
                    if colour not in colours:
                        colours.append(colour)
        assert len(colours) <= 2
        for paper in colours:
            text = ""
            for column in range(columns):
                glyph = bytes(
                    [sum([1 << down for down in range(8) if dot[down] != paper]) for dot in dots[column * 8 : column * 8 + 8]]
                )
                text += FONT.get(glyph, "\x00")
            if "\x00" not in text:
                ink = [colour for colour in colours if colour != paper]
                return text.rstrip(), ink[0] if ink else None, paper
        raise AssertionError("no text there")


class Spi:
    """A bus with an St7789 on it: it takes bytes while CS is low, and D/C says which kind."""

    def __init__(self, chip):
        self.chip = chip
        self.cs, self.dc = Pin(), Pin()

    def write(self, data):
        assert self.cs.level == 0
        self.chip.take(data, self.dc.level)


# An ESP32-S3's GPIO registers: which 32 pins, and whether a 1 sets or clears.
_REGISTERS = {0x60004008: (0, True), 0x6000400C: (0, False), 0x60004014: (1, True), 0x60004018: (1, False)}


class Registers:
    """An ESP32-S3's `mem32`, and on its pins an St7789: D0 to D7, WR, D/C and CS (data sheet 8.3.2: taken over when WR rises)."""

    def __init__(self, chip, data, write, dc):
        self.chip = chip
        self.cs = self
        self.level = 1  # of CS
        self.written = 0
        self._wr, self._dc = 1 << write, 1 << dc
        self._bytes = {}
        for byte in range(256):
            self._bytes[sum([1 << number - 32 for bit, number in enumerate(data) if byte >> bit & 1])] = byte
        self._ours = (self._wr | self._dc, max(self._bytes))
        self._high = [self._wr | self._dc, 0]
        self._taken = bytearray()

    def value(self, level):
        """CS moves."""
        self.level = level
        if level and self._taken:
            self.chip.take(self._taken, 1 if self._high[0] & self._dc else 0)
            self._taken = bytearray()

    def __setitem__(self, address, value):
        self.written += 1
        bank, sets = _REGISTERS[address]
        high = self._high
        assert value & self._ours[bank] == value, "somebody else's pin"
        if not sets:
            high[bank] &= ~value
        elif bank:
            high[1] |= value
        elif value == self._wr:
            assert self.level == 0 and not high[0] & value
            high[0] |= value
            self._taken.append(self._bytes[high[1]])
        else:
            assert not value & self._wr, "data must stand before WR rises"
            assert self.level, "D/C stays while a byte goes over"
            high[0] |= value


class Touch:
    """An I2C bus with a CST816 or FT6x36 on it. `finger`: (x, y) or None; `asleep`: a CST816 that nobody touches."""

    def __init__(self, address):
        self.address = address
        self.finger = None
        self.asleep = False

    def readfrom_mem(self, address, register, count):
        assert address == self.address and register == 0x02 and count == 5
        if self.asleep:
            raise OSError(19)
        if self.finger is None:
            return bytes(5)
        x, y = self.finger
        # The upper bits are the kind of event and the number of the finger.
        return bytes((1, 0x80 | x >> 8, x & 0xFF, 0x10 | y >> 8, y & 0xFF))


class Pwm:
    """A machine.PWM; `heard`: the hertz of every sound that began, 0 for a silence in between."""

    def __init__(self):
        self.duty = 0
        self.heard = []
        self._hertz = 0

    def freq(self, hertz):
        self._hertz = hertz

    def duty_u16(self, duty):
        if duty or self.duty:
            self.heard.append(self._hertz if duty else 0)
        self.duty = duty
