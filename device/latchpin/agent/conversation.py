"""One sealed session with one bridge replica, and at most one request in it: greet, prove, ask, ask again, hear.

Not for OAuth: it does not know what its messages mean, only which reply belongs to which request.
"""

# What there is at which stage: each method has its stage, and a checker does not know it.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportArgumentType=false

from latchpin import runtime
from latchpin.agent.events import Event
from latchpin.runtime import const
from latchpin.wire import topics
from latchpin.wire.errors import PeerError

_REPLY_TIMEOUT_MS = const(5_000)
_RID_BYTES = const(8)
_FRAME_BYTES = const(2_048)


class Conversation:
    """What the device says on its topics, and what it accepts there."""

    def __init__(self, identity, random):
        self._identity = identity
        self._random = random
        self.drop()

    def drop(self):
        """Forget the session and with it whatever was asked: nothing that was typed outlives it."""
        self._stage = self._edhoc = None
        self._session = None
        self.deadline_ms = None
        self.step = self.request_id = None
        self._settle()

    def keyed(self, now_ms: int) -> bool:
        """True while there is a session to speak in (wire/README.md, rule 6)."""
        if self._session is None:
            return False
        runtime.make_room()
        from latchpin.wire import session

        return not session.resume(self._session).over((now_ms - self._opened_ms) // 1000)

    def greet(self, now_ms: int) -> Event:
        self.drop()
        from latchpin.wire import cbor, edhoc

        # What is made by a module keeps all of it: it stays until the handshake ends.
        self._edhoc = edhoc
        self._turn = 2
        self._stage = edhoc.Hello(self._identity, self._identity.bridges, self._random)
        self.step = "hello"
        self.request_id = edhoc.request_id(self._stage.message_1)
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(topics.topic(self._identity.device, "hello"), cbor.encode([1, self._stage.message_1]))

    def prove(self, now_ms: int) -> Event:
        from latchpin.wire import cbor

        self.step = "proof"
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(self._up(), cbor.encode([3, self._stage.message_3]))

    def ask(self, name: str, fields: dict, now_ms: int) -> Event:
        """A new request: a new rid."""
        fields["rid"] = self._random(_RID_BYTES)
        self._settle()
        self._asked = name, fields
        self.step = name
        self.request_id = fields["rid"][:4].hex()
        return self.ask_again(now_ms)

    def ask_again(self, now_ms: int) -> Event:
        """The same request: rid and plaintext stay, the PIV is new (wire/README.md, rule 3)."""
        name, fields = self._asked
        # The frame grows where the request was written: room for a large one, made while there is some in one piece.
        runtime.make_room()
        text = bytearray(_FRAME_BYTES)
        text[:] = b""
        _pack(text, name, fields)
        frame, request = self._seal(text)
        self.requests.append(request)
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(self._up(), frame)

    def hear(self, payload: bytes, now_ms: int):
        """(what it is, the reply or None) of a payload on `down`; the reply as an Event of the message's name and fields.

        What it is: "message_2", "message_4", "refused", "dead" or "reply". Raises PeerError: drop it.
        """
        from latchpin.wire import cbor

        decoded = cbor.decode(payload)
        if self._session is not None:
            return self._hear_sealed(decoded)
        stage = self._stage
        if stage is None:
            raise PeerError
        number, parts = self._edhoc.unpack_step(decoded)
        if number not in (0, self._turn):
            raise PeerError
        try:
            if number == 2:
                self._stage = stage.answer(parts[0])
                self._replica = parts[1]
                self._turn = 4
            elif number == 4:
                self._session = stage.confirm(parts[0]).pause()
                self._stage = self._edhoc = None
                self._opened_ms = now_ms
                self.deadline_ms = None
            else:
                raise PeerError
        except PeerError:
            asked = self.step, self.request_id
            self.drop()
            self.step, self.request_id = asked
            return "refused", None
        return "message_%d" % number, None

    def _hear_sealed(self, decoded):
        if self._asked is None:
            raise PeerError
        if decoded == [0]:
            # A hint that nobody signed: it counts only while an answer is awaited, and costs one handshake.
            return "dead", None
        plaintext = self._open(decoded)
        runtime.make_room()
        reply = _unpack(plaintext)
        if "now" not in reply.fields or reply.rid != self._asked[1]["rid"]:
            raise PeerError
        self._settle()
        return "reply", reply

    # What follows needs much code for a short while: it is loaded there, and what was made by it does not stay.

    def _seal(self, plaintext):
        runtime.make_room()
        from latchpin.wire import session

        live = session.resume(self._session)
        sealed = live.seal(plaintext)
        self._session = live.pause()
        return sealed

    def _open(self, decoded):
        from latchpin.wire import session

        live = session.resume(self._session)
        try:
            return live.open(session.parse(decoded), self.requests)[0]
        finally:
            self._session = live.pause()

    def _settle(self):
        self._asked = None
        self.requests = []
        self.deadline_ms = None

    def _up(self):
        return topics.topic(self._identity.device, "up", self._replica)

    def _publish(self, topic, payload):
        return Event("Publish", topic=topic, payload=payload)


def _pack(text, name, fields):
    from latchpin.wire import messages

    messages.append(text, messages.Message(name, fields))


def _unpack(plaintext):
    from latchpin.wire import messages

    message = messages.unpack(plaintext)
    reply = Event(message.name)
    reply.fields = message.fields
    return reply
