"""Choosing a key where there is no keypad: the next one and the one before, shown beside what is typed.

Not for parts: two_buttons.py and rotary_encoder.py turn it. Not for decisions: which key means what is the agent's.
"""

KEYS = "0123456789*#"
SCAN_S = 0.01
SAME = 3


class Dial:
    """screens: those among a board's that have `choose(key)`."""

    def __init__(self, screens):
        self._screens = screens
        self._at = 0
        self.turn(0)

    def turn(self, steps: int) -> None:
        """So many keys on, or back."""
        self._at = (self._at + steps) % len(KEYS)
        for screen in self._screens:
            screen.choose(KEYS[self._at])

    def take(self) -> str:
        """The key that it stands at. After "#" it begins anew."""
        key = KEYS[self._at]
        if key == "#":
            self.turn(1)
        return key


class Button:
    """pin: an input that is 0 while the button is pressed. A state counts when it was seen by SAME looks in a row."""

    def __init__(self, pin):
        self._pin = pin
        self._last = 1
        self._seen = 0
        self._down = False
        self.held = 0

    def look(self) -> bool:
        """To be called every SCAN_S. True once for each press; `held` counts the looks since then."""
        level = self._pin.value()
        self._seen = self._seen + 1 if level == self._last else 1
        self._last = level
        before = self._down
        if self._seen >= SAME:
            self._down = not level
        self.held = self.held + 1 if self._down else 0
        return self._down and not before
