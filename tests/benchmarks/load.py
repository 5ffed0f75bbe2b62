"""Many devices in one process: the mqtt5 codec and latchpin.wire over TLS, each asks again as soon as it is answered.

Not the agent, and not a judge: whoever counts the answers decides what they mean.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mqtt5

from latchpin.wire import topics
from latchpin.wire.messages import Message
from tests.bridge.driver import Identity, Talk, message

AT_LEAST_ONCE = mqtt5.QoS.AT_LEAST_ONCE


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
        self._send(
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
                    self._send(mqtt5.PubAckPacket(packet.packet_id).write())
                self.heard(packet.topic, bytes(packet.payload or b""))
            elif isinstance(packet, mqtt5.ConnAckPacket):
                if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
                    self.ready.set_exception(ConnectionError("the broker refuses this client"))
                    return
                filters = [mqtt5.TopicFilter(pattern, max_qos=AT_LEAST_ONCE) for pattern in self._login[2]]
                self._send(mqtt5.SubscribePacket(1, filters).write())
            elif isinstance(packet, mqtt5.SubAckPacket):
                self.ready.set_result(None)
        self._rest = bytes(view[at:])

    def publish(self, topic: str, payload: bytes) -> None:
        self._packet_id = self._packet_id % 65535 + 1
        self._send(mqtt5.PublishPacket(topic, payload, qos=AT_LEAST_ONCE, packet_id=self._packet_id).write())

    def close(self) -> None:
        self.transport.close()

    def _send(self, packet: bytes) -> None:
        self._out.append(packet)
        if len(self._out) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self.transport.write(b"".join(self._out))
        self._out = []


async def join(port: int, ca: Path, name: str, password: str, patterns: list[str]) -> Link:
    """A Link that has connected and subscribed."""
    loop, context = asyncio.get_running_loop(), ssl.create_default_context(cafile=str(ca))
    _, link = await loop.create_connection(
        lambda: Link(name, password, patterns), "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    await asyncio.wait_for(link.ready, 10)
    return link


class LoadDevice:
    """One device under load. `counts[what]` is one more for each thing done: "echo", "handshake" or a reply's name."""

    def __init__(self, identity: Identity, link: Link, counts: dict[str, int]) -> None:
        self.talk = Talk(identity)
        self.link = link
        self.counts = counts
        self.device = identity.device
        self._next: Callable[[], None] | None = None
        self._idle = asyncio.Event()
        self._request: tuple[bytes, bytes] | None = None

    def echo(self, replica: str, payload: bytes) -> None:
        """Publish to `up/replica`, again after each answer."""

        def again() -> None:
            self.link.publish(topics.topic(self.device, "up", replica), payload)

        def heard(topic: str, came: bytes) -> None:
            self._done("echo")

        self._begin(heard, again)

    def shake(self) -> None:
        """Handshake after handshake, each thrown away for the next one."""

        def again() -> None:
            self.link.publish(topics.topic(self.device, "hello"), self.talk.hello())

        def heard(topic: str, payload: bytes) -> None:
            if payload[:2] == b"\x83\x02":
                proof = self.talk.proof(payload)
                self.link.publish(topics.topic(self.device, "up", self.talk.replica), proof)
            else:
                self.talk.confirm(payload)
                self._done("handshake")

        self._begin(heard, again)

    def ask(self, kind: str, fields: dict[str, Any]) -> None:
        """Sealed request after sealed request, in the session of the last handshake."""

        def again() -> None:
            frame, self._request = self.talk.seal(message(kind, **fields))
            self.link.publish(topics.topic(self.device, "up", self.talk.replica), frame)

        def heard(topic: str, payload: bytes) -> None:
            assert self._request
            reply: Message = self.talk.open(payload, self._request)
            self._done(reply.name)

        self._begin(heard, again)

    async def rest(self) -> None:
        """Stop asking, once what is asked is answered."""
        self._next = None
        await asyncio.wait_for(self._idle.wait(), 10)

    def _begin(self, heard: Callable[[str, bytes], None], again: Callable[[], None]) -> None:
        self.link.heard, self._next = heard, again
        self._idle.clear()
        again()

    def _done(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if self._next is not None:
            self._next()
        else:
            self._idle.set()
