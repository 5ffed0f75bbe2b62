"""Who may speak: handshakes that wait for their proof, sessions that live, and what each incoming frame means to them.

Not for I/O and not for what a request asks: a frame comes in with the time, a reply to publish or an opened request comes out.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from math import ceil
from typing import Any, NamedTuple

from broker_bridge import sealing, tables
from broker_bridge.exchange import Exchange
from broker_bridge.handshake import Responder, Started
from broker_bridge.limits import Allowances
from broker_bridge.registry import Device, Lookup, RegistryError
from broker_bridge.settings import Limits
from latchpin.wire import bridge_side, cbor, edhoc, session
from latchpin.wire.bridge_side import HELLO, UP, is_request
from latchpin.wire.errors import PeerError
from latchpin.wire.messages import Message

PENDING_S = 30
HINT_EVERY_S = 2
REFUSAL = bridge_side.pack_step(0)

Log = Callable[..., None]

parse = functools.lru_cache(4096)(bridge_side.parse)
down = functools.lru_cache(4096)(bridge_side.down)


class Plain(NamedTuple):
    """What this session's device certainly sent: does not print. `answers`: for Session.seal."""

    live: "Live"
    plaintext: bytes
    answers: tuple[bytes, bytes]

    def __repr__(self) -> str:
        return f"Plain({self.live.device})"


class Opened(NamedTuple):
    """A request that was in a Plain. `digest`: of its plaintext."""

    live: "Live"
    message: Message
    digest: bytes
    answers: tuple[bytes, bytes]


class Live:
    """One session with one device. It is confirmed by its first valid frame."""

    __slots__ = ("born_s", "confirmed", "device", "exchange", "keyed", "public")

    def __init__(self, device: str, public: bytes, keyed: session.Session, born_s: float) -> None:
        self.device = device
        self.public = public
        self.keyed = keyed
        self.born_s = born_s
        self.confirmed = False
        self.exchange = Exchange(device)


class _Pending:
    __slots__ = ("born_s", "live", "message_1", "message_3", "rid", "started", "step_2", "step_4")

    def __init__(self, message_1: bytes, started: Started, step_2: bytes, born_s: float) -> None:
        self.message_1 = message_1
        self.rid = edhoc.request_id(message_1)
        self.started = started
        self.step_2 = step_2
        self.born_s = born_s
        self.message_3 = b""
        self.step_4 = b""
        self.live: Live | None = None


class _Speaker:
    __slots__ = ("hinted_s", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.hinted_s = float("-inf")


class Who(NamedTuple):
    """`known`: as the registry has it, or None. `speaker`: all that it does not know are one."""

    device: str
    kind: str
    known: Device | None
    speaker: _Speaker


class Devices:
    """Every device of this replica. `counts` says what happened to frames; `log(event, **members)` writes a line.

    handing_over: while it is set, a session ends with the first request that nothing binds to this replica.
    """

    def __init__(
        self, registry: Lookup, responder: Responder, replica: str, limits: Limits, random: Callable[[int], bytes], log: Log
    ) -> None:
        self._registry = registry
        self._responder = responder
        self._replica = replica
        self._limits = limits
        self._random = random
        self._log = log
        self._pending: dict[str, _Pending] = {}
        self._confirmed: dict[str, Live] = {}
        self._by_sid: dict[bytes, Live] = {}
        self._speakers: dict[str, _Speaker] = {}
        self._strangers = _Speaker("strangers!")  # no device's name
        self._frames = Allowances(limits.frames_per_s, limits.frames_burst)
        self._handshakes = Allowances(limits.handshakes_per_s, ceil(limits.handshakes_per_s * 2))
        self.counts: Counter[str] = Counter()
        self.handing_over = False

    @property
    def live(self) -> int:
        return len(self._confirmed)

    @property
    def pending(self) -> int:
        return len(self._pending)

    @property
    def speaking(self) -> bool:
        """True while there is a session, or a handshake that may become one."""
        return bool(self._by_sid or self._pending)

    def take(self, topic: str, payload: bytes, now_s: float) -> tuple[str, bytes] | Plain | None:
        """What a frame leads to: (device, payload) to publish on its `down`, a plaintext for `read`, or nothing."""
        who = self.who(topic)
        if who is None:
            return None
        device, kind, known, speaker = who
        try:
            frame = sealing.parse(payload) if kind == UP else None
            if frame is not None:
                return self._sealed(device, frame, speaker, now_s)
            decoded: Any = cbor.decode(payload)
            if kind == UP and isinstance(decoded, list) and len(decoded) == 3:
                return self._sealed(device, session.parse(decoded), speaker, now_s)
            number, parts = edhoc.unpack_step(decoded)
        except PeerError:
            return self._drop("malformed")
        if (number, kind) not in ((1, HELLO), (3, UP)):
            return self._drop("out_of_turn")
        if number == 3:
            return self._message_3(device, parts[0], speaker, now_s)
        if known is None:
            # Perhaps somebody has enrolled it a moment ago.
            self.follow_registry()
            known = self._registry.get(device)
        if known is None:
            # An id that the broker lets in and the registry does not: the broker's accounts and the registry differ.
            self._log(
                "handshake", rid=edhoc.request_id(parts[0]), device=device, step="hello", outcome="refused", code="unknown_device"
            )
            return self._hint(device, speaker, now_s, "unknown_device")
        return self._message_1(device, parts[0], speaker, now_s)

    def read(self, plain: Plain) -> tuple[str, bytes] | Opened | None:
        """What a plaintext leads to: as `take`, or the request that it is."""
        live = plain.live
        try:
            message = tables.unpack(plain.plaintext)
        except PeerError:
            return self._drop("malformed")
        if not is_request(message):
            return self._drop("malformed")
        if self.handing_over and not live.exchange.bound(message):
            # To the device this session is unknown from now on: it opens another one and asks there (wire/README.md, rule 6).
            self._end(live, "handed_over")
            return live.device, REFUSAL
        return Opened(live, message, sha256(plain.plaintext).digest(), plain.answers)

    def who(self, topic: str) -> Who | None:
        """Who says something by this topic, within what they may say; None where nobody does."""
        self.counts["frames"] += 1
        parsed = parse(topic)
        if parsed is None or parsed[1] not in (HELLO, UP) or parsed[2] not in (None, self._replica):
            return self._drop("foreign_topic")
        device, kind, _ = parsed
        known = self._registry.get(device)
        speaker = self._speakers.get(device) or self._strangers
        if known is not None and speaker is self._strangers:
            speaker = self._speakers[device] = _Speaker(device)
        if not self._frames.take(speaker.name):
            return self._drop("flood")
        return Who(device, kind, known, speaker)

    def sweep(self, now_s: float) -> None:
        """Ends what is too old; call it about once a second."""
        for device, pending in list(self._pending.items()):
            if now_s - pending.born_s < PENDING_S:
                break
            self._discard(device)
            self._log("handshake", rid=pending.rid, device=device, step="proof", outcome="lapsed")
        for live in list(self._confirmed.values()):
            if live.keyed.over(int(now_s - live.born_s)):
                self._end(live, "over")
            else:
                live.exchange.forget(now_s)

    def follow_registry(self) -> None:
        """Reads the registry again where it changed; a device that may not speak any more has no session from then on."""
        try:
            if not self._registry.reload():
                return
        except RegistryError:
            self._log("registry", outcome="unreadable", code="registry")
            return
        self.follow({*self._pending, *self._confirmed})
        self._speakers = {device: speaker for device, speaker in self._speakers.items() if self._registry.get(device)}
        self._log("registry", outcome="reloaded", count=len(self._registry.all()))

    def follow(self, devices: Iterable[str]) -> None:
        """Ends handshakes and sessions of those of `devices` that may not speak any more."""
        for device in devices:
            known = self._registry.get(device)
            publics = self._publics(device)
            pending, live = self._pending.get(device), self._confirmed.get(device)
            if pending is not None and (known is None or (pending.live is not None and pending.live.public not in publics)):
                self._discard(device)
            if live is not None and live.public not in publics:
                self._end(live, "revoked")

    def farewell(self, live: Live) -> bytes | None:
        """What a device hears whose session ended under its request: that it is over, where it may not speak any more. Else
        nothing: it has another session by now, or the frame that ended this one was answered."""
        return None if live.public in self._publics(live.device) else REFUSAL

    def _publics(self, device: str) -> set[bytes]:
        known = self._registry.get(device)
        return {key.public for key in known.keys} if known is not None else set()

    def _message_1(self, device: str, message_1: bytes, speaker: _Speaker, now_s: float) -> tuple[str, bytes] | None:
        pending = self._pending.get(device)
        # After the proof the same hello is a boot with a stuck generator: the old message_2 would bring its old keys back.
        if pending is not None and pending.message_1 == message_1 and pending.live is None:
            return device, pending.step_2
        if not self._handshakes.take("all"):
            return self._drop("handshake_flood")
        rid = edhoc.request_id(message_1)
        try:
            started = self._responder.start(message_1, self._random(1)[0])
        except PeerError:
            self._log("handshake", rid=rid, device=device, step="hello", outcome="refused", code="message_1")
            return self._hint(device, speaker, now_s, "handshake_failed")
        self._discard(device)
        while len(self._pending) >= self._limits.pending_handshakes:
            self._discard(next(iter(self._pending)))
        step_2 = bridge_side.pack_step(2, started.message_2, self._replica)
        self._pending[device] = _Pending(message_1, started, step_2, now_s)
        self._log("handshake", rid=rid, device=device, step="hello", outcome="answered")
        return device, step_2

    def _message_3(self, device: str, message_3: bytes, speaker: _Speaker, now_s: float) -> tuple[str, bytes] | None:
        pending = self._pending.get(device)
        if pending is None or now_s - pending.born_s >= PENDING_S:
            return self._hint(device, speaker, now_s, "no_handshake")
        if pending.live is not None:
            return (device, pending.step_4) if pending.message_3 == message_3 else self._drop("out_of_turn")
        code = "message_3"
        try:
            kid = pending.started.claimed_kid(message_3)
            code = "unknown_key"
            known = self._registry.get(device)
            public = known.public_key(kid) if known else None
            if public is None:
                raise PeerError("kid")
            code = "wrong_key"
            message_4, keyed = pending.started.finish(device, kid, public)
        except PeerError:
            self._discard(device)
            self._log("handshake", rid=pending.rid, device=device, step="proof", outcome="refused", code=code)
            return self._hint(device, speaker, now_s, "handshake_failed")
        pending.message_3 = message_3
        pending.step_4 = bridge_side.pack_step(4, message_4)
        pending.live = self._by_sid[keyed.sid] = Live(device, public, keyed, now_s)
        self.counts["handshakes"] += 1
        self._log("handshake", rid=pending.rid, device=device, step="proof", outcome="keyed")
        return device, pending.step_4

    def _sealed(self, device: str, frame: session.Frame, speaker: _Speaker, now_s: float) -> tuple[str, bytes] | Plain | None:
        live = self._by_sid.get(frame.sid)
        if live is None or live.device != device:
            return self._hint(device, speaker, now_s, "unknown_session")
        if live.keyed.over(int(now_s - live.born_s)):
            self._end(live, "over")
            return self._hint(device, speaker, now_s, "session_over")
        try:
            plaintext, answers = live.keyed.open(frame)
        except session.SessionOver:
            self._end(live, "over")
            return self._hint(device, speaker, now_s, "session_over")
        except PeerError:
            return self._drop("forged")
        if not live.confirmed:
            self._confirm(live)
        return Plain(live, plaintext, answers)

    def _confirm(self, live: Live) -> None:
        before = self._confirmed.pop(live.device, None)
        if before is not None:
            self._end(before, "replaced")
        while len(self._confirmed) >= self._limits.live_sessions:
            self._end(next(iter(self._confirmed.values())), "evicted")
        live.confirmed = True
        self._confirmed[live.device] = live
        self._pending.pop(live.device, None)

    def _end(self, live: Live, why: str) -> None:
        self._by_sid.pop(live.keyed.sid, None)
        live.exchange.close()
        if self._confirmed.get(live.device) is live:
            del self._confirmed[live.device]
        self.counts["ended_" + why] += 1
        self._log("session", device=live.device, outcome="ended", code=why)

    def _discard(self, device: str) -> None:
        pending = self._pending.pop(device, None)
        if pending is not None and pending.live is not None:
            self._by_sid.pop(pending.live.keyed.sid, None)

    def _hint(self, device: str, speaker: _Speaker, now_s: float, why: str) -> tuple[str, bytes] | None:
        self.counts["dropped_" + why] += 1
        if now_s - speaker.hinted_s < HINT_EVERY_S:
            return None
        speaker.hinted_s = now_s
        return device, REFUSAL

    def _drop(self, why: str) -> None:
        self.counts["dropped_" + why] += 1
