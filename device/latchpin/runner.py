"""The only loop: events from keys, link and clock go into the agent, its effects come out into the hands.

Not for decisions: whatever is decided is decided in agent/.
"""

import asyncio

from latchpin import runtime
from latchpin.agent import events
from latchpin.agent.agent import Agent
from latchpin.wire import topics

CALM_MS = 3_600_000


class Runner:
    """One device at work.

    link_factory: () -> a link as adapters/mqtt_link.py describes it; screen: `show(view)`; keys: `async read_key()` or None;
    journal: `load()`, `store(data)`; post: `async (url, headers, body) -> (status, headers, body)` or None;
    on_answer: `(ok, text)` of every call that ended, or None; set_clock: `(now_s)` or None.
    """

    def __init__(
        self, link_factory, screen, keys, journal, identity, settings, random, post=None, on_answer=None, set_clock=None
    ):
        self._link_factory = link_factory
        self._screen = screen
        self._keys = keys
        self._journal = journal
        self._post = post
        self._on_answer = on_answer
        self._set_clock = set_clock
        self._device = identity.device
        self.agent = Agent(identity, settings, random, journal.load())
        self._events = []
        self._outbox = []
        self._wake = asyncio.Event()
        self._send = asyncio.Event()
        self._tasks = []
        self._refusal = None
        self._ticks = runtime.ticks_ms()
        self._now_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the start; unlike the chip's ticks they never wrap."""
        ticks = runtime.ticks_ms()
        self._now_ms += runtime.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._now_ms

    def post_event(self, event):
        """Hand an event to the agent: a Call from the application, say."""
        self._events.append(event)
        self._wake.set()

    async def run(self):
        """Work until cancelled."""
        if self._keys is not None:
            self._tasks.append(asyncio.create_task(self._read_keys()))
        self.post_event(events.Started())
        try:
            while True:
                await self._next_event()
                # A key waits for no network, so nothing below blocks.
                while self._events:
                    event = self._events.pop(0)
                    for effect in self.agent.handle(event, self.now_ms()):
                        self._carry_out(effect)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _next_event(self):
        deadline_ms = self.agent.deadline_ms
        wait_ms = CALM_MS if deadline_ms is None else max(0, min(CALM_MS, deadline_ms - self.now_ms()))
        if not self._events:
            try:
                await asyncio.wait_for(self._wake.wait(), wait_ms / 1000)
            except asyncio.TimeoutError:
                pass
        self._wake.clear()
        deadline_ms = self.agent.deadline_ms
        if not self._events and deadline_ms is not None and self.now_ms() >= deadline_ms:
            self._events.append(events.Tick())

    def _carry_out(self, effect):
        if isinstance(effect, events.Publish):
            self._outbox.append(effect)
            self._send.set()
        elif isinstance(effect, events.Show):
            self._screen.show(effect)
        elif isinstance(effect, events.Store):
            self._journal.store(effect.data)
        elif isinstance(effect, events.Connect):
            self._start(self._keep_link(effect.after_ms))
        elif isinstance(effect, events.Post):
            self._start(self._send_post(effect))
        elif isinstance(effect, events.Answer):
            if self._on_answer is not None:
                self._on_answer(effect.ok, effect.text)
        elif isinstance(effect, events.SetClock) and self._set_clock is not None:
            self._set_clock(effect.now_s)

    def _start(self, coroutine):
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(coroutine))

    async def _read_keys(self):
        while True:
            self.post_event(events.KeyPressed(await self._keys.read_key()))

    async def _keep_link(self, after_ms):
        await asyncio.sleep(after_ms / 1000)
        link = self._link_factory()
        self._outbox = []
        self._refusal = None
        sender = None
        try:
            await link.connect()
            self.post_event(events.LinkUp())
            sender = asyncio.create_task(self._send_all(link))
            self._tasks.append(sender)
            while True:
                _, payload = await link.receive()
                self.post_event(events.Received(payload))
        except OSError as error:
            # LinkError is an OSError with a code and perhaps a reason of MQTT 5.
            error = self._refusal or error
            self.post_event(events.LinkDown(getattr(error, "code", "closed"), getattr(error, "reason", None)))
        finally:
            if sender is not None:
                sender.cancel()
            await link.close()

    async def _send_all(self, link):
        while True:
            while self._outbox:
                message = self._outbox.pop(0)
                try:
                    await link.publish(message.topic, message.payload, message.retain, message.expiry_s)
                except OSError as error:
                    # The receiver of this link learns of the loss too, and reports it once, with this reason.
                    self._refusal = error
                    await link.close()
                    return
            self._send.clear()
            await self._send.wait()

    async def _send_post(self, effect):
        try:
            status, headers, body = await self._post(effect.url, effect.headers, effect.body)
            self.post_event(events.HttpAnswered(status, headers, body))
        except OSError as error:
            self.post_event(events.HttpFailed(getattr(error, "code", "closed")))


def will(device: str) -> tuple[str, bytes]:
    """(topic, payload) of the last will: a hint that nothing decides on."""
    return topics.state(device), b"0"


def subscriptions(device: str) -> list[str]:
    return [topics.down(device)]
