"""What was fetched, kept for a while: whoever asks while it is being fetched waits for the same answer, and no failure is kept.

Not bounded: its keys come from the operator's configuration, or are bounded by whoever asks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Cache(Generic[_T]):
    """`clock` counts seconds; an answer is given for `keep_s` from when its fetch began."""

    def __init__(self, clock: Callable[[], float], keep_s: float) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._found: dict[str, tuple[float, asyncio.Future[_T]]] = {}

    def fresh(self, key: str) -> _T | None:
        """What `get` would give at once; None where it would have to wait."""
        fetching = self._usable(key)
        return fetching.result() if fetching is not None and fetching.done() else None

    async def get(self, key: str, fetch: Callable[[], Awaitable[_T]]) -> _T:
        """What `fetch` gave for this key, at most `keep_s` ago. Raises what `fetch` raises."""
        fetching = self._usable(key)
        if fetching is None:
            fetching = asyncio.ensure_future(fetch())
            fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._found[key] = self._clock(), fetching
        return fetching.result() if fetching.done() else await asyncio.shield(fetching)

    def _usable(self, key: str) -> asyncio.Future[_T] | None:
        cached = self._found.get(key)
        if cached is None or self._clock() - cached[0] >= self._keep_s:
            return None
        return None if cached[1].done() and cached[1].exception() is not None else cached[1]

    def forget(self, key: str) -> None:
        """The next `get` fetches."""
        self._found.pop(key, None)
