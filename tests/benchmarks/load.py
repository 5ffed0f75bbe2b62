"""Many devices in one process, as cheap as they can be: frames are sealed before the clock starts, one answer in 64 is opened.

Not the agent, and not a judge: whoever counts the answers decides what they mean.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mqtt5

from latchpin.wire import topics
from tests.bridge.driver import Identity, Talk, message

AT_LEAST_ONCE = mqtt5.QoS.AT_LEAST_ONCE
OPEN_EVERY = 64


class Link(asyncio.Protocol):
    """One MQTT 5 connection. `heard(topic, payload)` gets each PUBLISH."""

    def __init__(self, name: str, password: str, patterns: list[str]) -> None:
        self.heard: Callable[[str, bytes], None] = lambda topic, payload: None
        self.ready = asyncio.get_running_loop().create_future()
        self._login = (name, password, patterns)
        self._rest = b""
        self._packet_id = 0
        self._out: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        name, password, _ = self._login
        self.send(
            mqtt5.ConnectPacket(
                name, username=name, password=password.encode(), clean_start=True, keep_alive=600, receive_max=1024
            ).write()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the broker closed the connection"))

    def data_received(self, data: bytes) -> None:
        view, at = memoryview(self._rest + data), 0
        while at < len(view):
            try:
                packet, used = mqtt5.read(view[at:])
            except IndexError:
                break
            at += used
            if isinstance(packet, mqtt5.PublishPacket):
                if packet.packet_id is not None:
                    self.send(mqtt5.PubAckPacket(packet.packet_id).write())
                self.heard(packet.topic, bytes(packet.payload or b""))
            elif isinstance(packet, mqtt5.ConnAckPacket):
                if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
                    self.ready.set_exception(ConnectionError("the broker refuses this client"))
                    return
                filters = [mqtt5.TopicFilter(pattern, max_qos=AT_LEAST_ONCE) for pattern in self._login[2]]
                self.send(mqtt5.SubscribePacket(1, filters).write())
            elif isinstance(packet, mqtt5.SubAckPacket):
                self.ready.set_result(None)
        self._rest = bytes(view[at:])

    def publication(self, topic: str, payload: bytes | bytearray) -> bytes:
        """A PUBLISH as it goes out by `send`, once."""
        self._packet_id = self._packet_id % 65535 + 1
        return mqtt5.PublishPacket(topic, bytes(payload), qos=AT_LEAST_ONCE, packet_id=self._packet_id).write()

    def publish(self, topic: str, payload: bytes) -> None:
        self.send(self.publication(topic, payload))

    def send(self, packet: bytes) -> None:
        """Joins what one turn of the loop writes."""
        self._out.append(packet)
        if len(self._out) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self.transport.write(b"".join(self._out))
        self._out = []

    def close(self) -> None:
        self.transport.close()


async def join(port: int, ca: Path, name: str, password: str, patterns: list[str]) -> Link:
    """A Link that has connected and subscribed."""
    loop, context = asyncio.get_running_loop(), ssl.create_default_context(cafile=str(ca))
    _, link = await loop.create_connection(
        lambda: Link(name, password, patterns), "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    await asyncio.wait_for(link.ready, 30)
    return link


class Post(asyncio.Protocol):
    """One HTTPS connection that says the same request again and again. `answered()` follows each whole answer."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answered: Callable[[], None] = lambda: None
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def again(self) -> None:
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head > 0 and len(self._got) >= head + 4 + int(self._got[:head].rpartition(b"Content-Length: ")[2]):
            self._got = b""
            self.answered()


async def post_to(port: int, ca: Path, path: str, body: bytes) -> Post:
    request = b"POST %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), port, len(body), body)
    context = ssl.create_default_context(cafile=str(ca))
    _, post = await asyncio.get_running_loop().create_connection(
        lambda: Post(request), "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    return post


class LoadDevice:
    """One device under load: it says the next thing as soon as it is answered, and counts in `done`."""

    def __init__(self, identity: Identity, link: Link) -> None:
        self.talk = Talk(identity)
        self.link = link
        self.device = identity.device
        self.done = 0
        self._on_done: Callable[[], None] | None = None
        self._say: Callable[[], None] | None = None
        self._idle = asyncio.Event()
        self._sealed: deque[tuple[bytes, tuple[bytes, bytes]]] = deque()

    def repeat(self, replica: str, payload: bytes) -> None:
        """The same bytes to `up/replica`, whatever comes back."""
        topic = topics.topic(self.device, "up", replica)
        self.begin(lambda: self.link.publish(topic, payload), lambda topic, came: self._next())

    def shake(self) -> None:
        """Handshake after handshake, each thrown away for the next one."""

        def heard(topic: str, payload: bytes) -> None:
            if payload[:2] == b"\x83\x02":
                proof = self.talk.proof(payload)
                self.link.publish(topics.topic(self.device, "up", self.talk.replica), proof)
            else:
                self.talk.confirm(payload)
                self._next()

        self.begin(lambda: self.link.publish(topics.topic(self.device, "hello"), self.talk.hello()), heard)

    def seal(self, count: int, kind: str, fields: dict[str, Any]) -> None:
        """Seals so many requests ahead, in the session of the last handshake."""
        self._asking = (kind, fields)
        self._sealed.clear()
        while len(self._sealed) < count:
            self._seal_one()

    def _seal_one(self) -> None:
        kind, fields = self._asking
        topic = topics.topic(self.device, "up", self.talk.replica)
        frame, request = self.talk.seal(message(kind, **fields))
        self._sealed.append((self.link.publication(topic, frame), request))

    def ask(self, reply: str) -> None:
        """What was sealed ahead, one after the other, each answered by a `reply`."""
        request = (b"", b"")

        def say() -> None:
            nonlocal request
            if not self._sealed:
                self._seal_one()
            packet, request = self._sealed.popleft()
            self.link.send(packet)

        def heard(topic: str, payload: bytes) -> None:
            if self.done % OPEN_EVERY == 0:
                came = self.talk.open(payload, request)
                assert came.name == reply, came
            self._next()

        self.begin(say, heard)

    def begin(self, say: Callable[[], None], heard: Callable[[str, bytes], None]) -> None:
        self.done, self.link.heard, self._say, self._on_done = 0, heard, say, None
        self._idle.clear()
        say()

    def once(self, on_done: Callable[[], None]) -> None:
        """What runs is the last, and `on_done` follows its answer."""
        self._say, self._on_done = None, on_done

    async def rest(self) -> None:
        """Stop asking, once what is asked is answered."""
        self._say = None
        await asyncio.wait_for(self._idle.wait(), 60)

    def _next(self) -> None:
        self.done += 1
        if self._say is not None:
            self._say()
        else:
            self._idle.set()
            if self._on_done is not None:
                self._on_done()
