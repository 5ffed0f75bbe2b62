"""One request's way: seen before? allowed? what to ask, and what the device is told. And what was answered, by rid.

Not for I/O: a way is a generator that yields what somebody must fetch (Discover, Ask, Call) and is sent what came back.
"""

import hashlib
from collections.abc import Generator
from typing import Any, NamedTuple

from broker_bridge import tables, translate
from broker_bridge.oauth_api import Answer, AuthorizationServerMetadata
from broker_bridge.profile import Profile
from broker_bridge.refusals import Refused
from broker_bridge.settings import Resource
from broker_bridge.translate import Ask, Told
from latchpin.wire import messages
from latchpin.wire.bridge_side import NUMBERS
from latchpin.wire.messages import Message

BLOCK_BYTES = 3072
KEPT_REPLIES = 8
KEEP_S = 60
MOST_RUNNING = 2
# What session.BUCKETS leaves for a plaintext in the largest frame.
MOST_PLAINTEXT = 4096 - 18 - 2 - 3 - 16 - 1


class Discover(NamedTuple):
    """Fetch the AS's metadata and that of the resource; send back a Discovered."""

    resource: Resource


class Discovered(NamedTuple):
    metadata: AuthorizationServerMetadata
    endpoints: dict[str, str]


class Call(NamedTuple):
    """POST to an MCP server; send back a Called. Holds secrets: does not print.

    version: None in 2026-07-28; in the eras before it, what the handshake agreed on, or "" for the handshake itself.
    """

    resource: Resource
    method: str
    name: str | None
    body: bytes
    token: str
    proof: str
    version: str | None = None
    session: str | None = None

    def __repr__(self) -> str:
        return "Call"


class Called(NamedTuple):
    status: int
    body: bytes
    www_authenticate: str | None
    session: str | None = None

    def __repr__(self) -> str:
        return f"Called({self.status})"


Way = Generator[Discover | Ask | Call, Any, Told]


class World(NamedTuple):
    """What the operator configured, as far as a request needs it."""

    client_id: str
    resources: list[Resource]
    profile: Profile


class Entry:
    """A rid and what became of it. `answers` is the newest request frame that wants the reply."""

    __slots__ = ("answers", "born_s", "digest", "told")

    def __init__(self, digest: bytes, answers: tuple[bytes, bytes], born_s: float) -> None:
        self.digest = digest
        self.answers = answers
        self.born_s = born_s
        self.told: Told | None = None


class _Kept(NamedTuple):
    call: bytes
    called: Called
    born_s: float


class Exchange:
    """The requests of one session."""

    __slots__ = ("_device", "_entries", "_kept", "closed")

    def __init__(self, device: str) -> None:
        self._device = device
        self._entries: dict[bytes, Entry] = {}
        self._kept: _Kept | None = None
        self.closed = False

    def begin(
        self, message: Message, digest: bytes, answers: tuple[bytes, bytes], world: World, now_s: float
    ) -> tuple[Entry, Way | Told | None]:
        """What to do with a request: walk a way, say at once what is already known, or nothing because it runs already.

        digest: of the plaintext; answers: the names of the frame that brought it, for Session.seal.
        """
        rid = message["rid"]
        entry = self._entries.get(rid)
        if entry is not None:
            entry.answers = answers
            if entry.digest != digest:
                return Entry(digest, answers, now_s), translate.refused(message, Refused("invalid", "rid_used"))
            return entry, entry.told
        entry = Entry(digest, answers, now_s)
        if len([True for other in self._entries.values() if other.told is None]) >= MOST_RUNNING:
            return entry, translate.refused(message, Refused("try_later", "busy", 1))
        while len(self._entries) >= KEPT_REPLIES:
            del self._entries[next(rid for rid, other in self._entries.items() if other.told is not None)]
        self._entries[rid] = entry
        return entry, self._way(message, world, now_s)

    def bound(self, message: Message) -> bool:
        """True for what another replica could not do as well: a request that is known here, the rest of a long answer, and
        an answer that a person typed (it never crosses sessions: wire/README.md, rule 4)."""
        typed = message.name == "CHALLENGE" and bool(message.get("answers"))
        return message["rid"] in self._entries or typed or bool(message.get("block"))

    def finish(self, entry: Entry, told: Told) -> None:
        """Keeps a reply for a repetition of its rid."""
        entry.told = told

    def forget(self, now_s: float) -> None:
        """Lets go of replies that nobody will ask for again."""
        if self._kept is not None and now_s - self._kept.born_s > KEEP_S:
            self._kept = None
        for rid, entry in list(self._entries.items()):
            if entry.told is not None and now_s - entry.born_s > KEEP_S:
                del self._entries[rid]

    def close(self) -> None:
        """The session is over: nothing is kept, and what still runs is for nobody."""
        self.closed = True
        self._entries.clear()
        self._kept = None

    def _way(self, message: Message, world: World, now_s: float) -> Way:
        try:
            if message.name == "DISCOVER":
                resource = translate.resource_of(message, world.resources)
                found: Discovered = yield Discover(resource)
                return Told(translate.offer(message, found.metadata, found.endpoints, resource))
            if message.name == "CALL":
                return (yield from self._call(message, world, now_s))
            if message.name == "REPORT":
                return Told(translate.done(message), translate.event_of(message))
            begun = translate.begin(message, world.profile)
            if begun is not None:
                return begun
            answer: Answer = yield translate.to_ask(message, self._device, world.client_id, world.resources, world.profile)
            return translate.to_told(message, answer, world.profile)
        except Refused as refusal:
            return translate.refused(message, refusal)

    def _call(self, message: Message, world: World, now_s: float) -> Generator[Call, Called, Told]:
        call = _call_digest(message)
        block = message["block"]
        if block:
            # A later block is never a second call: a tool may have done what it does.
            if self._kept is None or self._kept.call != call:
                raise Refused("try_later", "answer_gone", 1)
            called = self._kept.called
            told = Told(_block(message, called, block))
            if block + 1 == _blocks(called):
                self._kept = None
            return told
        proof = translate.checked(message, "dpop")
        if proof is None:
            raise Refused("invalid", "call_without_dpop")
        resource = translate.resource_of(message, world.resources)
        name, body = message.get("name"), message.get("body") or b""
        era = message.get("protocol_version"), message.get("mcp_session")
        called = yield Call(resource, message["method"], name, body, message["access_token"], proof, *era)
        blocks = _blocks(called)
        self._kept = _Kept(call, called, now_s) if blocks > 1 else None
        return Told(_block(message, called, 0))


def sealable(told: Told, now_s: int, dpop_nonce: str | None) -> bytes:
    """The plaintext of a reply, with the clock and the server's nonce of this moment.

    Raises Refused: more than a frame holds, or use_dpop_nonce without a nonce.
    """
    fields = {**told.message.fields, "now": now_s}
    if dpop_nonce is not None:
        fields["dpop_nonce"] = dpop_nonce
    elif fields.get("error") == NUMBERS["use_dpop_nonce"]:
        raise Refused("internal", "as_nonce_missing")
    plaintext = tables.pack(Message(told.message.name, fields))
    if len(plaintext) > MOST_PLAINTEXT:
        raise Refused("internal", "as_too_long_together")
    return plaintext


def _call_digest(message: Message) -> bytes:
    # What makes two CALLs the same call: all but rid, block and the proof, which is new in every request.
    fields = {**message.fields, "rid": bytes(messages.RID_BYTES), "block": 0}
    fields.pop("dpop", None)
    return hashlib.sha256(tables.pack(Message("CALL", fields))).digest()


def _blocks(called: Called) -> int:
    return max(1, -(-len(called.body) // BLOCK_BYTES))


def _block(message: Message, called: Called, number: int) -> Message:
    blocks = _blocks(called)
    if number >= blocks:
        raise Refused("invalid", "block_number")
    fields: dict[str, Any] = {
        "rid": message["rid"],
        "status": called.status,
        "body": called.body[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES],
        "block": number,
        "blocks": blocks,
    }
    if called.www_authenticate is not None:
        fields["www_authenticate"] = called.www_authenticate
    if called.session is not None:
        fields["mcp_session"] = called.session
    return Message("RESULT", fields)
