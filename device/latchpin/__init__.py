"""PIN in, token out: the part of Latchpin that runs on a board.

MicroPython >= 1.28 and CPython >= 3.11, the same files; nothing here imports anything but itself.
"""

__version__ = "0.1.0"
