"""One lamp: a pattern for each state that a person should tell apart from across the room.

Not for decisions: the state is the view's code.
"""

import asyncio

# code: milliseconds on, off, on, off ... and again; (1, 0) is on. boards/README.md tells people the same.
PATTERNS = {
    "ready": (1, 0),
    "answer": (1, 0),
    "calling": (100, 100),
    "waiting": (1000, 1000),
    "short": (1000, 1000),
    "typo": (150, 150, 150, 900),
    "wrong_answer": (150, 150, 150, 150, 150, 900),
    "expired": (600, 200, 150, 900),
    "locked": (600, 200, 600, 1500),
    "offline": (80, 2000),
    "silence": (80, 2000),
    "refused": (80, 150, 80, 2000),
}
OTHER = (80, 500)


class Led:
    """pin: an output; lit: the value that lights the lamp."""

    def __init__(self, pin, lit: int = 1):
        self._pin = pin
        self._lit = lit
        self._code = None
        self._task = None
        pin.value(1 - lit)

    def show(self, view) -> None:
        """view: code."""
        if view.code == self._code:
            return
        self._code = view.code
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._blink(PATTERNS.get(view.code, OTHER)))

    async def _blink(self, pattern):
        while True:
            for position, pause_ms in enumerate(pattern):
                if pause_ms:
                    self._pin.value(1 - self._lit if position & 1 else self._lit)
                    await asyncio.sleep(pause_ms / 1000)
            if pattern[1] == 0:
                return
