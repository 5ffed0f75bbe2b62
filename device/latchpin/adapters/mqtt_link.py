"""A connection to an MQTT 5 broker: TLS, QoS 1, clean start, session expiry 0.

Not a general client: it does not reconnect, knows no topic of ours, and is of no use after its first LinkError.
Any client (mqtt_as, say) can stand in for it that has what is public in `MqttLink`. Section numbers are those of MQTT 5.0.
"""

# What is None before there is a connection is used after connect() only; `_lose` sets the error before it is raised.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false

import asyncio

from latchpin import runtime
from latchpin.adapters.stream import LinkError, close_stream
from latchpin.runtime import const

MAX_REMAINING = 8_192
RECEIVE_MAXIMUM = 2  # each may be a whole frame in RAM

_CONNACK = const(0x20)
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBACK = const(0x90)
_PINGRESP = const(0xD0)
_DISCONNECT = const(0xE0)

_BROKEN = const("the broker broke the protocol")
_BROKE_OFF = const("the connection broke")
_GIVEN_UP = const("given up on this side")


class MqttLink:
    """One connection. broker: {"host", "port", "server_name"?, "pin"?, "ca"?} as in settings.json; client_id: also the username;
    subscribe: topics; will: (topic, payload), retained; timeout_s: for the connection and for each answer.

    One task may wait in `receive`, one in `publish`. A cancelled `publish` ends the link. `close` is due in any case, also after
    a LinkError.
    """

    def __init__(
        self, broker: dict, client_id: str, password: str, subscribe=(), will=None, keepalive_s: int = 30, timeout_s: int = 10
    ):
        self._broker = broker
        self._client_id = client_id
        self._password = password
        self._topics = subscribe
        self._will = will
        self._keepalive_s = keepalive_s
        self._timeout_s = timeout_s
        self._number = 0
        self._error = None
        self._writer = None
        self._tasks = []
        self._heard = False
        self._expected = _CONNACK, None
        self._answer = None
        self._answered = asyncio.Event()
        self._unsent = []
        self._sending = False
        self._queue = []
        self._body = None
        self._arrived = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Connected, as far as anybody knows: a dead broker is noticed within keepalive_s."""
        return self._writer is not None and self._error is None

    async def connect(self) -> None:
        """Connect and subscribe. Raises LinkError: "dns", "tcp", "tls", "timeout", "closed", "protocol" or "refused"."""
        from latchpin.adapters import mqtt_opening

        done = False
        try:
            hello = mqtt_opening.hello(self._client_id, self._password, self._will, self._keepalive_s)
            reader, self._writer = await mqtt_opening.open_stream(self._broker, hello, self._timeout_s)
            self._tasks.append(asyncio.create_task(self._read(reader)))
            limits = mqtt_opening.welcome(await self._wait())
            self._keepalive_s = limits.get(0x13, self._keepalive_s)
            self._longest = limits.get(0x27, MAX_REMAINING)
            self._retain = limits.get(0x25, 1)
            if self._topics:
                mqtt_opening.granted(await self._ask(0x82, _SUBACK, b"", mqtt_opening.subscription(self._topics)))
            self._tasks.append(asyncio.create_task(self._keep()))
            done = True
        except (LookupError, ValueError):
            raise LinkError("protocol", _BROKEN)
        finally:
            runtime.make_room("adapters.mqtt_opening", "adapters.tls_stream")
            if not done:
                await self.close()

    async def publish(self, topic: str, payload: bytes, retain: bool = False, expiry_s: int | None = None) -> int:
        """Publish at QoS 1 and wait for the PUBACK; returns its reason code: 0, or 0x10 where nobody subscribed.

        Raises LinkError: "refused" with the reason code (the link lives on), anything else where the link is lost.
        """
        properties = b"\0" if expiry_s is None else b"\x05\x02" + expiry_s.to_bytes(4, "big")
        kind = 0x33 if retain and self._retain else 0x32
        answer = await self._ask(kind, _PUBACK, string(topic), properties, payload)
        reason = answer[2] if len(answer) > 2 else 0
        if reason >= 0x80:
            raise LinkError("refused", "message", reason)
        return reason

    async def receive(self) -> tuple[str, bytes]:
        """The next (topic, payload) of a subscription, acknowledged by now; never a retained one. Raises LinkError: link lost."""
        while True:
            while not self._queue:
                if self._error:
                    raise self._error
                self._arrived.clear()
                await self._arrived.wait()
            # Acknowledged in the order of arrival (4.6), and only when taken: Receive Maximum holds the broker back meanwhile.
            topic, payload, number = self._queue.pop(0)
            if number:
                await self._send(b"\x40\x02" + number)
            if topic is not None:
                return topic, payload

    async def close(self) -> None:
        """Say goodbye (so that the will is not sent) if there is somebody to say it to, and free everything."""
        writer = self._writer
        if writer is None:
            return
        if not self._error:
            try:
                await self._send(b"\xe0\0")
            except LinkError:
                pass
        self._lose("closed", "on this side")
        self._writer = None
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        await close_stream(writer)

    async def _ask(self, kind, answer, before, after, payload=b""):
        # One packet, one answer to it: the packet identifier stands between `before` and `after`.
        self._number = self._number % 65_535 + 1
        number = self._number.to_bytes(2, "big")
        head = packet(kind, before + number + after, len(payload))
        if len(head) + len(payload) > self._longest:
            raise LinkError("refused", "longer than the broker takes", 0x95)
        self._expected = answer, number
        self._answered.clear()
        done = False
        try:
            await self._send(head, payload)
            answer = await self._wait()
            done = True
            return answer
        finally:
            if not done:
                self._lose("closed", _GIVEN_UP)

    async def _wait(self):
        try:
            if not self._error:
                await asyncio.wait_for(self._answered.wait(), self._timeout_s)
        except asyncio.TimeoutError:
            self._lose("timeout", "no answer")
        if self._answer is None:
            raise self._error
        answer, self._answer = self._answer, None
        return answer

    async def _send(self, *parts):
        # MicroPython's streams take one writer at a time, which sends what others leave to it meanwhile. A cancelled one takes
        # the reader with it: then the link is over.
        if self._error:
            raise self._error
        self._unsent.append(parts)
        if self._sending:
            return
        self._sending = True
        code, text = "closed", _GIVEN_UP
        try:
            while self._unsent:
                for part in self._unsent.pop(0):
                    self._writer.write(part)
                await asyncio.wait_for(self._writer.drain(), self._timeout_s)
            code = None
            return
        except asyncio.TimeoutError:
            code, text = "timeout", "nothing taken"
        except OSError:
            text = _BROKE_OFF
        finally:
            self._sending = False
            if code:
                self._lose(code, text)
        raise self._error

    def _lose(self, code, text, reason=None):
        if self._error is None:
            self._error = LinkError(code, text, reason)
            self._answered.set()
            self._arrived.set()

    async def _keep(self):
        pause_s = self._keepalive_s / 3
        try:
            while pause_s:
                await asyncio.sleep(pause_s)
                self._heard = False
                await self._send(b"\xc0\0")
                await asyncio.sleep(pause_s)
                if not self._heard:
                    self._lose("timeout", "PINGREQ unanswered")
        except LinkError:
            pass

    async def _read(self, reader):
        try:
            while not self._error:
                head = await reader.readexactly(2)
                kind, length = head[0], head[1:]
                while length[-1] > 127:
                    if len(length) == 4:
                        raise ValueError
                    length += await reader.readexactly(1)
                length = varint(length, 0)[0]
                if length > MAX_REMAINING:
                    raise ValueError
                self._heard = True
                # Not an argument: MicroPython would keep it, a whole frame, until the next one comes.
                self._body = await reader.readexactly(length) if length else b""
                self._take(kind)
        except (EOFError, OSError):
            self._lose("closed", _BROKE_OFF)
        except (LookupError, ValueError, MemoryError):
            self._lose("protocol", _BROKEN)

    def _take(self, kind):
        body, self._body = self._body, None
        if kind & 0xF0 == _PUBLISH:
            self._take_publish(kind, body)
        elif kind == _PINGRESP and not body:
            pass
        elif kind == _DISCONNECT:
            self._lose("closed", "by the broker", body[0] if body else 0)
        elif self._expected and kind == self._expected[0] and self._expected[1] in (None, body[:2]):
            self._expected = None
            self._answer = body
            self._answered.set()
        else:
            raise ValueError

    def _take_publish(self, kind, body):
        qos = kind >> 1 & 3
        at = 2 + (body[0] << 8 | body[1])
        number = body[at : at + 2 * qos]
        start = skip(body, at + 2 * qos)
        if qos > 1 or start > len(body) or number == b"\0\0":
            raise ValueError
        # The retain bit: whoever left it there may be long gone. Dropped, but acknowledged when its turn comes.
        topic = None if kind & 1 else body[2:at].decode()
        if len(self._queue) < RECEIVE_MAXIMUM:
            self._queue.append((topic, body[start:], number))
            self._arrived.set()
        elif qos:
            raise ValueError


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return len(data).to_bytes(2, "big") + data


def packet(kind, rest, more):
    # A whole packet, but for `more` bytes that will follow.
    more += len(rest)
    head = bytearray((kind,))
    while more > 127:
        head.append(more & 127 | 128)
        more >>= 7
    head.append(more)
    return bytes(head) + rest


def varint(body, at):
    # (value, where it ends); at most 4 bytes (1.5.5).
    value = 0
    for shift in (0, 7, 14, 21):
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError


def skip(body, at):
    # Where the properties that begin at `at` end.
    length, at = varint(body, at)
    return at + length
