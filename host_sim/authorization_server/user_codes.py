"""Codes that a person copies from one screen to another: eight letters that are hard to mistake (RFC 8628, section 6.1).

Not secrets that let anybody in: whoever types one is signed in, and is limited.
"""

import re

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8


def of(randomness: bytes) -> str:
    """The code made of 16 or more random bytes, such as WDJB-MJHT."""
    number = int.from_bytes(randomness)
    letters = "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(LENGTH))
    return f"{letters[:4]}-{letters[4:]}"


def normal(typed: str) -> str:
    """The code as it was shown, however it was typed."""
    letters = re.sub(r"[^A-Z]", "", typed.upper())
    return f"{letters[:4]}-{letters[4:]}"
