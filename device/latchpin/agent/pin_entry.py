"""One answer being typed: one bytearray, never a string before it is whole, wiped when it is taken.

Not for display: only `masked` leaves here.
"""

from latchpin.runtime import const
from latchpin.wire import check_digit

_MAX_ANSWER = const(64)  # as wire/messages.py has it, which need not be in memory for this
_DIGITS = const(0)
_DAMM = const(1)


class PinEntry:
    """What is typed for one `input` of a PROMPT. Prints no digit."""

    def __init__(self, wanted: dict):
        self.wanted = wanted
        self._most = min(wanted.get("max", _MAX_ANSWER), _MAX_ANSWER)
        self._typed = bytearray(self._most)
        self._length = 0

    def press(self, key: str) -> str:
        """What a key did: "typed", "ignored", "short", "typo" or "whole". After "typo" the entry is empty again."""
        if key == "#":
            return self._judge()
        if key == "*":
            if self._length:
                self._length -= 1
                self._typed[self._length] = 0
            return "typed"
        if self._length == self._most or len(key.encode()) != 1:
            return "ignored"
        if self.wanted["kind"] == _DIGITS and not "0" <= key <= "9":
            return "ignored"
        self._typed[self._length] = ord(key)
        self._length += 1
        return "typed"

    def masked(self) -> str:
        """One mark a character, in threes."""
        marks = "*" * self._length
        return "-".join([marks[start : start + 3] for start in range(0, self._length, 3)])

    def take(self) -> str:
        """The answer, once: it is wiped here."""
        answer = bytes(self._typed[: self._length]).decode()
        self.wipe()
        return answer

    def wipe(self):
        for index in range(self._most):
            self._typed[index] = 0
        self._length = 0

    def __len__(self):
        return self._length

    def _judge(self):
        if self._length < max(1, self.wanted.get("min", 1)):
            return "short"
        if self.wanted.get("check") == _DAMM:
            # A slip of the finger spends no attempt.
            if check_digit.damm(bytes(self._typed[: self._length]).decode()) != "0":
                self.wipe()
                return "typo"
        return "whole"
