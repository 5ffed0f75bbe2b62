"""The only loop: events from keys, link and clock go into the agent, its effects come out into the hands.

Not for decisions: whatever is decided is decided in agent/.
"""

import asyncio

from latchpin import runtime
from latchpin.agent.agent import Agent
from latchpin.agent.events import Event
from latchpin.runtime import const

_CALM_MS = const(3_600_000)
_EXPIRY_S = const(10)


class Runner:
    """One device at work.

    hands: what a board gives (adapters/hands.py): `state` (the topic of its presence), `load()`, `store(data)`, `link()`,
    `show(view)`, `async read_key()`, `async post(url, headers, body, hear)`, `hear(data)`, `answer(ok, text)`, `erase()`,
    `set_clock(now_s, sure)`.
    """

    def __init__(self, hands, identity, settings: dict):
        self.agent = Agent(identity, settings, runtime.random_bytes, hands.load())
        self._hands = hands
        self._events = [Event("Started")]
        self._outbox = []
        self._wake = asyncio.Event()
        self._send = asyncio.Event()
        self._tasks = []
        self._link = self._post = None
        self._refusal = None
        self._ticks = runtime.ticks_ms()
        self._now_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the start; unlike the chip's ticks they never wrap."""
        ticks = runtime.ticks_ms()
        self._now_ms += runtime.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._now_ms

    def put(self, event):
        """Hand an event to the agent: a Call from the application, say."""
        self._events.append(event)
        self._wake.set()

    async def run(self):
        """Work until cancelled."""
        runtime.stay()
        self._start(self._read_keys())
        try:
            while True:
                # A key waits for no network, so nothing in this loop does.
                while self._events:
                    effects = self._handle(self._events.pop(0))
                    runtime.make_room()
                    while effects:
                        self._carry_out(effects.pop(0))
                due_ms = self.agent.deadline_ms
                wait_ms = _CALM_MS if due_ms is None else min(_CALM_MS, due_ms - self.now_ms())
                try:
                    await asyncio.wait_for(self._wake.wait(), max(0, wait_ms) / 1000)
                except asyncio.TimeoutError:
                    self._events.append(Event("Tick"))
                self._wake.clear()
        finally:
            for task in self._tasks:
                task.cancel()

    def _handle(self, event):
        try:
            return self.agent.handle(event, self.now_ms())
        except MemoryError:
            # What the event was about is lost, as in an outage, and the agent goes on as after one.
            if self._link:
                self._link.cancel()
            runtime.make_room()
            return self.agent.handle(Event("LinkDown", code="memory", reason=None), self.now_ms())

    def _carry_out(self, effect):
        name = effect.name
        if name == "Publish":
            self._outbox.append(effect)
            self._send.set()
        elif name == "Show":
            self._hands.show(effect)
        elif name == "Store":
            self._hands.store(effect.data)
        elif name == "Connect":
            self._link = self._start(self._keep_link(effect.after_ms))
        elif name == "Post":
            # What an earlier one still brings is the answer to nothing any more.
            if self._post:
                self._post.cancel()
            self._events = [event for event in self._events if "Http" not in event.name]
            self._post = self._start(self._send_post(effect))
        elif name == "Part":
            self._hands.hear(effect.data)
        elif name == "Answer":
            self._hands.answer(effect.ok, effect.text)
        elif name == "Erase":
            self._hands.erase()
        else:
            self._hands.set_clock(effect.now_s, effect.sure)

    def _start(self, coroutine):
        self._tasks = [task for task in self._tasks if not task.done()]
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        return task

    async def _read_keys(self):
        while True:
            self.put(Event("KeyPressed", key=await self._hands.read_key()))

    async def _keep_link(self, after_ms):
        await asyncio.sleep(after_ms / 1000)
        link = self._hands.link()
        self._outbox = []
        self._refusal = sender = None
        try:
            await link.connect()
            await link.publish(self._hands.state, b"1", True)
            self.put(Event("LinkUp"))
            sender = self._start(self._send_all(link))
            while True:
                self.put(Event("Received", payload=(await link.receive())[1]))
        except (OSError, MemoryError) as error:
            # A LinkError is an OSError with a code, and a reason where MQTT 5 gave one. Short of memory is said, not hung in.
            error = self._refusal or error
            self.put(Event("LinkDown", code=getattr(error, "code", "closed"), reason=getattr(error, "reason", None)))
        finally:
            if sender is not None:
                sender.cancel()
            await link.close()

    async def _send_all(self, link):
        while True:
            while self._outbox:
                message = self._outbox.pop(0)
                try:
                    await link.publish(message.topic, message.payload, False, _EXPIRY_S)
                except OSError as error:
                    # The receiver of this link learns of the loss too, and reports it once, with this reason.
                    self._refusal = error
                    await link.close()
                    return
            message = None
            self._send.clear()
            await self._send.wait()

    async def _send_post(self, effect):
        try:
            await self._hands.post(effect.url, effect.headers, effect.body, self._hear_post)
        except OSError as error:
            self.put(Event("HttpFailed", code=getattr(error, "code", "closed")))

    async def _hear_post(self, status, headers, piece, last):
        self.put(Event("HttpAnswered", status=status, headers=headers, body=piece, last=last))
        while self._events:
            await asyncio.sleep(0)  # the next piece when this one has left
