"""Digits by two buttons: one moves the dial on, and goes on while it is held; the other takes the key that it shows.

Not for decisions: which key means what is the agent's.
"""

import asyncio

from latchpin.adapters.dial import SCAN_S, Button, Dial

HOLD, REPEAT = 50, 20  # looks until a held button repeats, and from one repetition to the next


class TwoButtons:
    """step, take: inputs that are 0 while pressed; screens: those that show the dial."""

    def __init__(self, step, take, screens):
        self._step = Button(step)
        self._take = Button(take)
        self._dial = Dial(screens)

    async def read_key(self) -> str:
        """The next key that is taken."""
        while True:
            await asyncio.sleep(SCAN_S)
            step = self._step
            if step.look() or step.held > HOLD and (step.held - HOLD) % REPEAT == 0:
                self._dial.turn(1)
            if self._take.look():
                return self._dial.take()
