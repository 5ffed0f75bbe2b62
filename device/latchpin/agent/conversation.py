"""One sealed session with one bridge replica, and at most one request in it: greet, prove, ask, ask again, hear.

Not for OAuth: it does not know what its messages mean, only which reply belongs to which request.
"""

from latchpin import runtime
from latchpin.agent.events import Event
from latchpin.runtime import const
from latchpin.wire import cbor, messages, session, topics
from latchpin.wire.errors import PeerError

_REPLY_TIMEOUT_MS = const(5_000)


class Conversation:
    """What the device says on its topics, and what it accepts there."""

    def __init__(self, identity, random):
        self._identity = identity
        self._random = random
        self.drop()

    def drop(self):
        """Forget the session and with it whatever was asked: nothing that was typed outlives it."""
        self._stage = None
        self._session = None
        self.deadline_ms = None
        self.request_id = None
        self._settle()

    def keyed(self, now_ms: int) -> bool:
        """True while there is a session to speak in (wire/README.md, rule 6)."""
        return self._session is not None and not self._session.over((now_ms - self._opened_ms) // 1000)

    def greet(self, now_ms: int) -> Event:
        self.drop()
        from latchpin.wire import edhoc

        self._turn = 2
        self._stage = edhoc.Hello(self._identity, self._identity.bridges, self._random)
        self.request_id = edhoc.request_id(self._stage.message_1)
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(topics.topic(self._identity.device, "hello"), cbor.encode([1, self._stage.message_1]))

    def prove(self, now_ms: int) -> Event:
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(self._up(), cbor.encode([3, self._stage.message_3]))

    def ask(self, name: str, fields: dict, now_ms: int) -> Event:
        """A new request: a new rid."""
        fields["rid"] = self._random(messages.RID_BYTES)
        self._settle()
        self._rid = fields["rid"]
        self._plaintext = messages.pack(messages.Message(name, fields))
        self.request_id = self._rid[:4].hex()
        return self._send(now_ms)

    def ask_again(self, now_ms: int) -> Event:
        """The same request: rid and plaintext stay, the PIV is new (wire/README.md, rule 3)."""
        return self._send(now_ms)

    def hear(self, payload: bytes, now_ms: int):
        """(what it is, the message or None) of a payload on `down`.

        What it is: "message_2", "message_4", "refused", "dead" or "reply". Raises PeerError: drop it.
        """
        decoded = cbor.decode(payload)
        if self._session is not None:
            return self._hear_sealed(decoded)
        stage = self._stage
        if stage is None:
            raise PeerError
        from latchpin.wire import edhoc

        number, parts = edhoc.unpack_step(decoded)
        if number not in (0, self._turn):
            raise PeerError
        try:
            if number == 2:
                self._stage = stage.answer(parts[0])
                self._replica = parts[1]
                self._turn = 4
            elif number == 4:
                self._session = stage.confirm(parts[0])
                self._stage = None
                runtime.make_room("wire.edhoc", "crypto.p256")
                self._opened_ms = now_ms
                self.deadline_ms = None
            else:
                raise PeerError
        except PeerError:
            request_id = self.request_id
            self.drop()
            self.request_id = request_id
            return "refused", None
        return "message_%d" % number, None

    def _hear_sealed(self, decoded):
        if decoded == [0]:
            # A hint that nobody signed: it counts only while an answer is awaited, and costs one handshake.
            if self._plaintext is None:
                raise PeerError
            return "dead", None
        if self._plaintext is None:
            raise PeerError
        plaintext, _ = self._session.open(session.parse(decoded), self.requests)
        reply = messages.unpack(plaintext)
        if "now" not in reply.fields or reply["rid"] != self._rid:
            raise PeerError
        self._settle()
        return "reply", reply

    def _send(self, now_ms):
        frame, request = self._session.seal(self._plaintext)
        self.requests.append(request)
        self.deadline_ms = now_ms + _REPLY_TIMEOUT_MS
        return self._publish(self._up(), frame)

    def _settle(self):
        self._rid = None
        self._plaintext = None
        self.requests = []
        self.deadline_ms = None

    def _up(self):
        return topics.topic(self._identity.device, "up", self._replica)

    def _publish(self, topic, payload):
        return Event("Publish", topic=topic, payload=payload)
