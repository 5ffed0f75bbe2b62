"""PIN in, token out: the part of Latchpin that runs on a board.

MicroPython >= 1.28 and CPython >= 3.11, the same files; nothing here imports anything but itself.
"""

__version__ = "0.1.0"

# Seconds since 1970: it cannot be earlier than that. boards/package.py writes the day of the packaging into what a board gets.
BUILT_S = 1_796_083_200
