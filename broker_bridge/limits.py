"""Allowances: so many at once and so many a second after that, for each name, in falconry's token buckets.

Not a queue: what is over the allowance is refused.
"""

from token_bucket import Limiter, MemoryStorage


class Allowances:
    """`rate_per_s` a second and `burst` at once, for each name. Who takes must know the names: a bucket is never forgotten."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._limiter = Limiter(rate_per_s, burst, MemoryStorage())

    def take(self, name: str) -> bool:
        """True, and one less, if there is one."""
        return self._limiter.consume(name)
