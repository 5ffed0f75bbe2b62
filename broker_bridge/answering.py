"""Requests under way in this replica, from opened to sealed: each step for all that one turn of the event loop brought.

Not for what to fetch and to say (exchange.py), nor for who may ask (devices.py).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from broker_bridge import exchange, logs, translate
from broker_bridge.devices import Live, Opened
from broker_bridge.exchange import Ask, Call, Discover, Entry, Told, Way, World
from broker_bridge.life import Turn
from broker_bridge.operations import Metrics
from broker_bridge.refusals import Refused
from broker_bridge.traces import Tracer
from latchpin.wire import bridge_side
from latchpin.wire.bridge_side import CODES
from latchpin.wire.messages import Message

_T = TypeVar("_T")
Wanted = Discover | Ask | Call


class Request:
    """A request and what has become of it. `rid`: the half of its id that screens and logs show. Prints nothing of it."""

    __slots__ = ("began_s", "entry", "live", "message", "plaintext", "rid", "seconds", "span", "step", "task", "told", "way")

    def __init__(self, live: Live, message: Message, entry: Entry) -> None:
        self.live, self.message, self.entry = live, message, entry
        self.rid, self.step = shown_rid(message), message.name.lower()
        self.way: Way | None = None
        self.began_s = 0.0
        self.seconds: float | None = None
        self.span: object = None
        self.task: asyncio.Task[object] | None = None
        self.told: Told | None = None
        self.plaintext = b""


class Answering:
    """`under_way` until their replies are sealed; `on_room` follows whenever there are fewer of them.

    fetch: (name of the server, what fetches it from there; raises Refused). nonce: what a reply tells of its server's. publish:
    (device, frame). farewell: what a device is sent whose session has ended meanwhile.
    """

    def __init__(
        self,
        world: World,
        fetch: Callable[[Wanted, str], tuple[str, Coroutine[Any, Any, Any]]],
        nonce: Callable[[Message], str | None],
        publish: Callable[[str, bytes], None],
        farewell: Callable[[Live], bytes | None],
        metrics: Metrics,
        tracer: Tracer,
        on_room: Callable[[], None],
    ) -> None:
        self._world, self._fetch, self._nonce, self._publish = world, fetch, nonce, publish
        self._farewell, self._metrics, self._tracer, self._on_room = farewell, metrics, tracer, on_room
        self.under_way: set[Request] = set()
        self._fetched, self._told = Turn(self._go_on_with), Turn(self._tell)

    def begin(self, opened: Opened) -> None:
        live, message = opened.live, opened.message
        _show(live, message)
        now_s = time.monotonic()
        entry, way = live.exchange.begin(message, opened.digest, opened.answers, self._world, now_s)
        if way is None:
            return  # it runs already
        request = Request(live, message, entry)
        self.under_way.add(request)
        if isinstance(way, Told):
            request.told = way if way is not entry.told else Told(way.message, "repeated")
            self._told.add(request)
        else:
            request.way, request.began_s = way, now_s
            request.span = self._tracer.begun(request.step, request.rid, live.device)
            self._go_on(request, None)

    def cancel(self) -> list[asyncio.Task[object]]:
        """Ends what is being fetched; the tasks that end by it."""
        tasks = [request.task for request in self.under_way if request.task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    def _go_on(self, request: Request, came: object) -> None:
        """One step of a request's way, with what was fetched for it."""
        assert request.way is not None
        try:
            wanted = request.way.throw(came) if isinstance(came, Refused) else request.way.send(came)
        except StopIteration as end:
            self._finish(request, end.value)
        except Exception as failure:
            self._finish(request, self._defect(request, failure))
        else:
            request.task = asyncio.ensure_future(self._fetching(request, wanted))
            request.task.add_done_callback(lambda _: self._fetched.add(request))

    async def _fetching(self, request: Request, wanted: Wanted) -> object:
        server, call = self._fetch(wanted, request.rid)
        try:
            with self._metrics.upstream(server):
                return await self._tracer.upstream(request.span, server, call)
        except Refused as refusal:
            return refusal

    def _go_on_with(self, requests: list[Request]) -> None:
        for request in requests:
            task = request.task
            assert task is not None
            if task.cancelled():
                self.under_way.discard(request)
            elif failure := task.exception():
                self._finish(request, self._defect(request, failure))
            else:
                self._go_on(request, task.result())

    def _finish(self, request: Request, told: Told) -> None:
        request.told, request.seconds = told, time.monotonic() - request.began_s
        request.live.exchange.finish(request.entry, told)
        self._told.add(request)

    def _defect(self, request: Request, failure: BaseException) -> Told:
        logs.line("defect", logging.ERROR, failure, rid=request.rid, device=request.live.device, step=request.step)
        return translate.refused(request.message, Refused("internal", "defect"))

    def _tell(self, requests: list[Request]) -> None:
        for request in requests:
            safely(self._write, request)
        for request in requests:
            safely(self._count, request)
        now_s = time.monotonic()
        for request, frame in [(request, safely(self._seal, request, now_s)) for request in requests]:
            if frame is not None:
                self._publish(request.live.device, frame)
        self.under_way.difference_update(requests)
        self._on_room()

    def _write(self, request: Request) -> None:
        assert request.told is not None
        now_s = int(time.time())
        try:
            request.plaintext = exchange.sealable(request.told, now_s, self._nonce(request.message))
        except Exception as failure:
            refused = isinstance(failure, Refused)
            request.told = translate.refused(request.message, failure) if refused else self._defect(request, failure)
            request.plaintext = exchange.sealable(request.told, now_s, None)

    def _count(self, request: Request) -> None:
        assert request.told is not None
        message, reply, why = request.message, request.told.message, request.told.why
        outcome, level, challenge = reply.name.lower(), logging.INFO, None
        if reply.name == "ERROR":
            outcome = CODES[reply["error"]]
            level = logging.ERROR if outcome == "internal" else logging.WARNING if outcome == "try_later" else logging.INFO
        if message.name == "CHALLENGE":
            challenge = "answer" if message.get("answers") else "start" if message.get("auth_session") is None else "ask"
        self._tracer.answered(request.span, outcome, why)
        self._metrics.answered(request.step, outcome, challenge, request.seconds, why == "repeated")
        _show(request.live, reply)
        ms = None if request.seconds is None else round(request.seconds * 1000)
        members = {"rid": request.rid, "device": request.live.device, "step": request.step, "outcome": outcome, "code": why}
        logs.line("request", level, **members, status=reply.get("status"), ms=ms)

    def _seal(self, request: Request, now_s: float) -> bytes | None:
        live = request.live
        if live.exchange.closed:
            return self._farewell(live)
        if not request.plaintext or live.keyed.over(int(now_s - live.born_s)):
            return None
        return bytes(live.keyed.seal(request.plaintext, request.entry.answers)[0])


def safely(step: Callable[..., _T], *given: object) -> _T | None:
    """What `step` gives; None and a line in the log where it fails: a defect of ours must not become a way to stop the bridge."""
    try:
        return step(*given)
    except Exception as failure:
        logs.line("defect", logging.ERROR, failure, step=step.__name__.strip("_"))
        return None


def shown_rid(message: Message) -> str:
    """The half of a request's id that screens and logs show."""
    return message.fields["rid"][:4].hex()


def _show(live: Live, message: Message) -> None:
    # `shown` masks what messages.py calls secret; a canary in each of those fields is looked for by a test.
    if logs.debugging():
        logs.line("message", logging.DEBUG, rid=shown_rid(message), device=live.device, decoded=bridge_side.shown(message))
