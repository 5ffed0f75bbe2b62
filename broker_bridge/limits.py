"""A token bucket: so many at once, so many a second after that.

Not a clock: the time of each take is an argument.
"""


class Bucket:
    """`rate_per_s` a second, `burst` at once."""

    __slots__ = ("_at_s", "_burst", "_level", "_rate_per_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._level = burst
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """True, and one less, if there is one."""
        self._level = min(self._burst, self._level + max(0.0, now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True
