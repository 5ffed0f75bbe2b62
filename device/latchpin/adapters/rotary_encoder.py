"""Digits by a rotary encoder (EC11, KY-040): turning moves the dial, pushing takes the key that it shows.

Not for decisions: which key means what is the agent's.
"""

import asyncio

from latchpin.adapters.dial import SCAN_S, Button, Dial

# [before << 2 | now] of the two contacts: a quarter step on, back, or (bounce, or one was missed) neither.
_QUARTERS = (0, -1, 1, 0, 1, 0, 0, -1, -1, 0, 0, 1, 0, 1, -1, 0)


class RotaryEncoder:
    """a, b: inputs with pull-up that can interrupt; push: an input that is 0 while pressed; screens: those that show the dial.

    Both contacts are open at rest; from there to there is one detent. Clockwise, `a` closes first.
    """

    def __init__(self, a, b, push, screens):
        self._a = a
        self._b = b
        self._push = Button(push)
        self._dial = Dial(screens)
        self._was = 3
        self._quarters = 0
        self._turned = 0
        for pin in (a, b):
            pin.irq(self._moved, pin.IRQ_RISING | pin.IRQ_FALLING)

    async def read_key(self) -> str:
        """The next key that is taken."""
        while True:
            await asyncio.sleep(SCAN_S)
            turned = self._turned
            if turned:
                self._turned -= turned
                self._dial.turn(turned)
            if self._push.look():
                return self._dial.take()

    def _moved(self, pin):
        # An interrupt: it may come at any time, and makes nothing that needs heap.
        now = self._a.value() << 1 | self._b.value()
        self._quarters += _QUARTERS[self._was << 2 | now]
        self._was = now
        if now == 3:
            if self._quarters > 1:
                self._turned += 1
            elif self._quarters < -1:
                self._turned -= 1
            self._quarters = 0
