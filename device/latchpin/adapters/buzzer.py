"""A passive buzzer: a tone for each state that a person should tell apart without looking.

Not for decisions: the state is the view's code.
"""

import asyncio

# code: hertz, milliseconds, hertz, milliseconds ... boards/README.md tells people the same. No other state makes a sound.
TONES = {
    "waiting": (880, 120),
    "typo": (440, 80, 0, 60, 440, 80),
    "wrong_answer": (330, 150, 0, 60, 330, 150, 0, 60, 330, 150),
    "expired": (660, 150, 440, 250),
    "locked": (220, 800),
    "offline": (440, 100, 330, 100, 220, 200),
    "ready": (523, 100, 659, 100, 784, 200),
}
_LOUD = 32_768


class Buzzer:
    """pwm: a machine.PWM with duty_u16=0."""

    def __init__(self, pwm):
        self._pwm = pwm
        self._code = None
        self._task = None

    def show(self, view) -> None:
        """view: code. A state sounds once, when it begins."""
        if view.code == self._code:
            return
        self._code = view.code
        if self._task is not None:
            self._task.cancel()
            self._pwm.duty_u16(0)
        self._task = asyncio.create_task(self._play(TONES.get(view.code, ())))

    async def _play(self, tones):
        for at in range(0, len(tones), 2):
            if tones[at]:
                self._pwm.freq(tones[at])
            self._pwm.duty_u16(_LOUD if tones[at] else 0)
            await asyncio.sleep(tones[at + 1] / 1000)
        self._pwm.duty_u16(0)
