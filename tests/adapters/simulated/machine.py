"""What main.py of a board asks of a chip's `machine` module, without a chip. For test_boards.py.

Not for timing or electricity: tests/both_runtimes/test_adapters_parts.py has that.
"""


def freq(hertz):
    assert hertz == 240_000_000


class Pin:
    IN, OUT, OPEN_DRAIN, PULL_UP = 1, 3, 7, 2

    def __init__(self, number, mode=None, pull=None, value=None):
        self.number = number
        self.level = 1 if value is None else value

    def value(self, level=None):
        if level is None:
            return 1
        self.level = level


class I2C:
    def __init__(self, bus, sda, scl, freq):
        assert sda.number == 21 and scl.number == 22 and freq == 100_000

    def writeto(self, address, data):
        assert address == 0x27 and len(data) == 3


class RTC:
    def datetime(self, value):
        pass
