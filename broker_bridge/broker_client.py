"""MQTT in, MQTT out: one MQTT 5 connection over TLS on the `mqtt5` codec, kept alive and made again when it breaks.

Not for topics' meaning. Nothing survives a broken connection but frames whose time has not run out.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple, cast

import mqtt5

from broker_bridge import logs
from broker_bridge.life import Turn

CONNECT_S = 10
ANSWER_S = 5  # a broker that lets a PINGREQ wait longer is gone
BACK_OFF_S = (0.2, 30.0)
STEADY_S = 30  # a connection that lived this long starts the back-off anew
MAX_PACKET = 8192
MAX_WAITING = 4096
SENDING = 64  # unacknowledged publications at once, where the broker allows more

OnPublish = Callable[[str, bytes, Callable[[], None]], None]


class Unsuitable(Exception):
    """The broker refuses or lacks what the bridge needs; the text is a fixed word."""


class Login(NamedTuple):
    """How to reach a broker and who to be there. Holds a secret: does not print."""

    host: str
    port: int
    tls: ssl.SSLContext
    client_id: str
    username: str
    password: bytes | None
    keep_alive_s: int
    receive_maximum: int

    def __repr__(self) -> str:
        return f"Login({self.client_id})"


class _Out(NamedTuple):
    topic: str
    payload: bytes
    expires_s: float


class BrokerClient:
    """Keeps `filters` subscribed with QoS 1 and gives each PUBLISH to `on_publish(topic, payload, admit)`.

    `admit()` lets its PUBACK go; PUBACKs leave in the order of arrival, so that withholding one is the backpressure.
    """

    def __init__(
        self, login: Login, filters: list[str], on_publish: OnPublish, random: Random, on_ready: Callable[[], None]
    ) -> None:
        self._login = login
        self._filters = filters
        self._on_publish = on_publish
        self._on_ready = on_ready
        self._random = random
        self._connection: _Connection | None = None
        self._waiting: deque[_Out] = deque()
        self.counts: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Sends with QoS 1 as soon as the broker takes it, and not at all once `expiry_s` have passed."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.counts["unsent"] += 1
        self._waiting.append(_Out(topic, payload, asyncio.get_running_loop().time() + expiry_s))
        self._flush()

    def unsubscribe(self, pattern: str) -> None:
        """Nothing is asked for under `pattern` any more; `unsubscribing` until the broker has agreed."""
        self._filters.remove(pattern)
        if self._connection is not None:
            self._connection.unsubscribe(pattern)

    @property
    def unsubscribing(self) -> bool:
        return self._connection is not None and self._connection.unsubscribing

    async def run(self) -> None:
        """Connects, and connects again, until cancelled; then says goodbye."""
        loop = asyncio.get_running_loop()
        wait_s = BACK_OFF_S[0]
        while True:
            began_s = loop.time()
            code = await self._once()
            self.counts["disconnects"] += 1
            if loop.time() - began_s > STEADY_S:
                wait_s = BACK_OFF_S[0]
            pause_s = self._random.uniform(wait_s / 2, wait_s)
            logs.line("broker", logging.WARNING, outcome="disconnected", code=code, retry_s=max(1, round(pause_s)))
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, BACK_OFF_S[1])

    async def once(self) -> None:
        """Connects, subscribes and leaves: for `bridge check`. Raises Unsuitable, ssl.SSLError or OSError."""
        connection = await self._connect()
        connection.goodbye()

    async def _once(self) -> str:
        try:
            connection = await self._connect()
        except Unsuitable as failure:
            return str(failure)
        except ssl.SSLCertVerificationError:
            return "certificate"
        except ssl.SSLError:
            return "tls"
        except TimeoutError:
            return "timeout"
        except OSError:
            return "unreachable"
        self._connection = connection
        self._on_ready()
        self._flush()
        try:
            return await connection.run()
        except asyncio.CancelledError:
            connection.goodbye()
            raise
        finally:
            self._connection = None
            self._waiting.extendleft(reversed(connection.unacknowledged()))

    async def _connect(self) -> "_Connection":
        login = self._login
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            connection = _Connection(login, self._filters, self._on_publish, self._flush, self.counts)
            await loop.create_connection(lambda: connection, login.host, login.port, ssl=login.tls)
            try:
                await connection.ready
            except BaseException:
                connection.abort("timeout")
                raise
        return connection

    def _flush(self) -> None:
        connection = self._connection
        while self._waiting and connection is not None and connection.can_send:
            out = self._waiting.popleft()
            left_s = out.expires_s - asyncio.get_running_loop().time()
            if left_s > 0:
                connection.send(out, max(1, round(left_s)))
            else:
                self.counts["expired"] += 1


def _read(data: memoryview) -> tuple[mqtt5.Packet, int]:
    """The first packet in `data`, and its size. Raises IndexError: more bytes needed; ValueError: malformed."""
    try:
        return mqtt5.read(data)
    except BaseException as failure:
        # The codec panics where a text is not UTF-8, and a panic derives from BaseException.
        if type(failure).__name__ == "PanicException":
            raise ValueError from None
        raise


class _Connection(asyncio.Protocol):
    """One TCP connection's life: CONNECT, SUBSCRIBE, then publications both ways."""

    def __init__(
        self, login: Login, filters: list[str], on_publish: OnPublish, on_room: Callable[[], None], counts: Counter[str]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._closed: asyncio.Future[str] = loop.create_future()
        self._login = login
        self._filters = filters
        self._on_publish = on_publish
        self._on_room = on_room
        self._counts = counts
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._window = SENDING
        self._most_bytes = MAX_PACKET
        self._paused = False
        self._sent: dict[int, _Out] = {}
        self._packet_id = 0
        self._owed: deque[list[int]] = deque()  # [packet id, 1 once admitted], in the order of arrival
        self._out: Turn[bytes] = Turn(self._write_all)
        self.unsubscribing = False
        self._heard = True
        self._keep_alive_s = login.keep_alive_s

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not one by class
        connected: socket.socket | None = self._transport.get_extra_info("socket")
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = self._login
        packet = mqtt5.ConnectPacket(
            login.client_id,
            username=login.username,
            password=login.password,
            clean_start=True,
            keep_alive=login.keep_alive_s,
            session_expiry_interval=0,
            receive_max=login.receive_maximum,
            max_packet_size=MAX_PACKET,
        )
        self._transport.write(packet.write())

    def data_received(self, data: bytes) -> None:
        self._heard = True
        data = self._rest + data if self._rest else data
        view, at = memoryview(data), 0
        try:
            while at < len(data) and not self._closed.done():
                packet, size = _read(view[at:])
                at += size
                self._take(packet)
        except IndexError:
            pass  # the codec's word for "more bytes needed"
        except ValueError:
            self.abort("malformed_packet")
        except Unsuitable as failure:
            self.abort(str(failure))
        self._rest = data[at:]
        if len(self._rest) > MAX_PACKET:
            self.abort("packet_too_large")

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort("connection_lost")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._on_room()

    # what BrokerClient does with it

    @property
    def can_send(self) -> bool:
        return not self._paused and len(self._sent) < self._window and not self._closed.done()

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65535 + 1
        while self._packet_id in self._sent:
            self._packet_id = self._packet_id % 65535 + 1
        return self._packet_id

    def unsubscribe(self, pattern: str) -> None:
        self.unsubscribing = True
        self._write(mqtt5.UnsubscribePacket(self._next_id(), [pattern]).write())

    def send(self, out: _Out, expiry_s: int) -> None:
        packet_id = self._next_id()
        packet = mqtt5.PublishPacket(
            out.topic, out.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id, message_expiry_interval=expiry_s
        ).write()
        if len(packet) > self._most_bytes:
            self._counts["too_large_for_broker"] += 1
            return
        self._sent[packet_id] = out
        self._write(packet)

    def unacknowledged(self) -> list[_Out]:
        return list(self._sent.values())

    async def run(self) -> str:
        """Keeps the connection alive; the word why it ended."""
        while True:
            done, _ = await asyncio.wait([self._closed], timeout=self._keep_alive_s / 2)
            if done:
                return self._closed.result()
            self._heard = False
            self._write(mqtt5.PingReqPacket().write())
            done, _ = await asyncio.wait([self._closed], timeout=min(ANSWER_S, self._keep_alive_s / 2))
            if not done and not self._heard:
                self.abort("half_open")

    def goodbye(self) -> None:
        if self._transport is not None and not self._closed.done():
            self._write(mqtt5.DisconnectPacket().write())
            self._out.end()
            self._transport.close()
            self._closed.set_result("goodbye")

    def abort(self, why: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        if not self._closed.done():
            self._closed.set_result(why)
        if not self.ready.done():
            self.ready.set_exception(Unsuitable(why))

    # packets

    def _take(self, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.PublishPacket):
            self._take_publish(packet)
        elif isinstance(packet, mqtt5.PubAckPacket):
            if packet.reason_code.value >= 0x80:
                self._counts["refused"] += 1
            self._sent.pop(packet.packet_id, None)
            self._on_room()
        elif isinstance(packet, mqtt5.ConnAckPacket):
            self._take_connack(packet)
        elif isinstance(packet, mqtt5.SubAckPacket):
            for code in packet.reason_codes:
                if code != mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE:
                    raise Unsuitable("subscription_" + code.name.lower())
            if not self.ready.done():
                self.ready.set_result(None)
        elif isinstance(packet, mqtt5.UnsubAckPacket):
            self.unsubscribing = False
        elif isinstance(packet, mqtt5.DisconnectPacket):
            raise Unsuitable("broker_says_" + packet.reason_code.name.lower())
        elif not isinstance(packet, mqtt5.PingRespPacket):
            raise Unsuitable("unexpected_packet")

    def _take_connack(self, packet: mqtt5.ConnAckPacket) -> None:
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise Unsuitable("broker_says_" + packet.reason_code.name.lower())
        if packet.max_qos == mqtt5.QoS.AT_MOST_ONCE:
            raise Unsuitable("broker_without_qos_1")
        if not packet.shared_subscription_available or not packet.wildcard_subscription_available:
            raise Unsuitable("broker_without_shared_subscriptions")
        self._window = min(SENDING, packet.receive_max)
        self._most_bytes = packet.max_packet_size or MAX_PACKET
        if packet.server_keep_alive is not None and packet.server_keep_alive > 0:
            self._keep_alive_s = packet.server_keep_alive
        filters = [
            mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_handling=mqtt5.RetainHandling.SEND_NEVER)
            for pattern in self._filters
        ]
        self._write(mqtt5.SubscribePacket(1, filters).write())

    def _take_publish(self, packet: mqtt5.PublishPacket) -> None:
        if packet.topic_alias is not None or packet.qos == mqtt5.QoS.EXACTLY_ONCE:
            raise Unsuitable("unexpected_packet")  # neither was offered (MQTT 5, sections 3.2.2.3.8 and 3.8.3.1)
        owed: list[int] | None = None
        if packet.packet_id is not None:
            if len(self._owed) >= self._login.receive_maximum:
                raise Unsuitable("receive_maximum_exceeded")
            owed = [packet.packet_id, 0]
            self._owed.append(owed)
        if packet.retain:
            # A frame is for now; a retained one is somebody's replay (PROTOCOL section 1).
            self._counts["dropped_retained"] += 1
            self._admit(owed)
        else:
            self._on_publish(packet.topic, packet.payload, lambda: self._admit(owed))

    def _admit(self, owed: list[int] | None) -> None:
        if owed is not None:
            owed[1] = 1
        while self._owed and self._owed[0][1]:
            self._write(mqtt5.PubAckPacket(self._owed.popleft()[0]).write())

    def _write(self, packet: bytes) -> None:
        self._out.add(packet)

    def _write_all(self, packets: list[bytes]) -> None:
        if self._transport is not None and not self._closed.done():
            self._transport.write(b"".join(packets))
