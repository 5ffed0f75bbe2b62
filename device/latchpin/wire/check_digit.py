"""The check digit of a PIN (H. M. Damm, 2004): every single wrong digit and every swap of neighbours shows.

Not a secret and not a defence: it saves an attempt from a slip of the finger.
"""

# The totally anti-symmetric quasigroup of order 10 from Damm's thesis, row by row.
_TABLE = b"0317598642709215486342068713591750983426612304597836742095815869720134894536201794386172052581436790"


def damm(digits: str) -> str:
    """The digit to append to `digits` (ASCII 0 to 9 only). A number with its own check digit appended gives "0"."""
    interim = 0
    for digit in digits:
        interim = _TABLE[interim * 10 + ord(digit) - 48] - 48
    return chr(48 + interim)
