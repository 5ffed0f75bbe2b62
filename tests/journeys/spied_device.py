"""The device in this process, on CPython, so that a test can know every secret of a journey and search for it elsewhere.

Not a second device: agent, runner and adapters are the real ones; the spy stands beside `pack` and `unpack` and listens.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from host_sim.world import World
from latchpin.adapters import settings as adapters_settings
from latchpin.adapters.hands import Hands
from latchpin.runner import Runner
from latchpin.wire import bridge_side, messages, topics


class SpiedDevice(Hands):
    """Keys come from `type`; what is shown is in `shown`; every secret that crossed is in `secrets`, every
    request with its rid in `packed`.

    lose: a function of a reply's name; where it says True the reply is lost between broker and agent, once.
    """

    runner: Runner

    def __init__(self, world: World, lose: Callable[[str], bool] = lambda name: False) -> None:
        folder = str(world.folder / "device")
        self.identity, self.settings = adapters_settings.load(folder)
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self.shown: list[Any] = []
        self.secrets: dict[str, set[str]] = {}
        self.packed: list[tuple[bytes, bytes]] = []
        self.lost: list[str] = []
        self._lose = lose
        ours = topics.topic(self.identity.device, "down"), topics.topic(self.identity.device, "state")
        super().__init__(self.identity, self.settings, ours, self, [], folder)

    async def read_key(self) -> str:
        return await self._keys.get()

    @property
    def dpop_private(self) -> bytes:
        """The key that the tokens are bound to."""
        return self.runner.agent.tokens.dpop_private

    def show(self, view: Any) -> None:
        self.shown.append(view)

    def type(self, text: str) -> None:
        for key in text:
            self._keys.put_nowait(key)

    async def wait_for(self, code: str, since: int = 0, within_s: float = 90) -> Any:
        """The first view since number `since` with this code."""
        async with asyncio.timeout(within_s):
            while True:
                for view in self.shown[since:]:
                    if view.code == code:
                        return view
                await asyncio.sleep(0.02)

    def overhear(self, message: messages.Message) -> None:
        for name, value in message.fields.items():
            if not bridge_side.is_secret(name):
                continue
            texts = value.values() if isinstance(value, dict) else [value]
            for text in texts:
                if isinstance(text, str) and text:
                    self.secrets.setdefault(name, set()).add(text)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels these until they are over: `asyncio.wait_for` can swallow one cancellation (Python up to 3.11, bpo-37658)."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1)


@contextlib.asynccontextmanager
async def spied_device(
    world: World, monkeypatch: pytest.MonkeyPatch, lose: Callable[[str], bool] = lambda name: False
) -> AsyncIterator[SpiedDevice]:
    """A SpiedDevice at work in `world`, instead of the world's own process."""
    device = SpiedDevice(world, lose)
    append, unpack = messages.append, messages.unpack

    def spying_append(out: bytearray, message: messages.Message) -> None:
        device.overhear(message)
        start = len(out)
        append(out, message)
        device.packed.append((message["rid"], bytes(out[start:])))

    def spying_unpack(data: bytes) -> messages.Message:
        message = unpack(data)
        device.overhear(message)
        if device._lose(message.name) and message.name not in device.lost:
            device.lost.append(message.name)
            raise messages.PeerError("lost on the way, for this test")
        return message

    monkeypatch.setattr(messages, "append", spying_append)
    monkeypatch.setattr(messages, "unpack", spying_unpack)
    runner = Runner(device, device.identity, device.settings)
    device.runner = runner
    work = asyncio.create_task(runner.run())
    try:
        yield device
    finally:
        await end([work])
