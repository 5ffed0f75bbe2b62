"""MQTT in, MQTT out: against real brokers, and against one that is as rude as a broker can be.

Not for what the bridge does with a frame.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import mqtt5
import pytest
import uvloop

from broker_bridge import broker_client
from broker_bridge.broker_client import BrokerClient, Login
from latchpin.wire import bridge_side, topics
from tests.bridge.driver import Device, Place
from tests.brokers import running
from tests.brokers.running import Running

REPLICA = "replica-1"
FILTERS = [bridge_side.SHARED_HELLO, bridge_side.replica_filter(REPLICA)]


def login(broker: Running, **changes: Any) -> Login:
    tls = ssl.create_default_context(cafile=str(broker.ca))
    password = broker.bridge_password.encode()
    return Login(broker.host, broker.port, tls, broker.bridge_username, broker.bridge_username, password, 20, 16)._replace(
        **changes
    )


class Box:
    """A BrokerClient that runs, what came to it, and the admissions that it still owes."""

    def __init__(self, way: Login, admit: bool = True, filters: list[str] = FILTERS) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.owed: list[Callable[[], None]] = []
        self.ready = 0
        self._admit = admit
        self.client = BrokerClient(way, filters, self._on_publish, Random(1), self._on_ready)

    def _on_publish(self, topic: str, payload: bytes, admit: Callable[[], None]) -> None:
        self.came.append((topic, payload))
        if self._admit:
            admit()
        else:
            self.owed.append(admit)

    def _on_ready(self) -> None:
        self.ready += 1

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator["Box"]:
        task = asyncio.ensure_future(self.client.run())
        try:
            await until(lambda: self.ready > 0)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(met: Callable[[], object], within_s: float = 30) -> None:
    end_s = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < end_s, "it did not come to pass"
        await asyncio.sleep(0.01)


def test_frames_go_both_ways_on_every_broker(place: Place, any_broker: Any):
    broker, _ = any_broker
    device = Device(place.identity(), broker) if broker.kind == "embedded" else None
    if device is None:
        identity = place.identity()
        broker.reload()
        time.sleep(0.5)
        device = Device(identity, broker)
    name = device.identity.device

    async def main() -> None:
        async with Box(login(broker)).runs() as box:
            await asyncio.to_thread(device.publish, topics.topic(name, "hello"), b"one")
            await asyncio.to_thread(device.publish, topics.topic(name, "up", REPLICA), b"two")
            await asyncio.to_thread(device.publish, topics.topic(name, "up", "replica-2"), b"not ours")
            await until(lambda: len(box.came) == 2)
            box.client.publish(topics.topic(name, "down"), b"three", 10)
            assert await asyncio.to_thread(device.hear) == b"three"
            assert box.came == [(topics.topic(name, "hello"), b"one"), (topics.topic(name, "up", REPLICA), b"two")]

    try:
        asyncio.run(main())
    finally:
        device.close()


def test_after_a_broker_restart_the_subscriptions_stand_again(place: Place, tmp_path: Path):
    folder = tmp_path / "broker"
    folder.mkdir()
    identity = place.identity()
    with running.embedded(folder, place.registry) as first:
        port = first.port

        async def main() -> None:
            async with Box(login(first)).runs() as box:
                first.process.kill()
                first.process.wait()
                await until(lambda: not box.client.connected)
                box.client.publish(topics.topic(identity.device, "down"), b"too late for this one", 0)
                with running.embedded(folder, place.registry, port=port) as second:
                    device = await asyncio.to_thread(Device, identity, second)
                    await until(lambda: box.ready == 2)
                    await asyncio.to_thread(device.publish, topics.topic(identity.device, "hello"), b"again")
                    await until(lambda: len(box.came) == 1)
                    box.client.publish(topics.topic(identity.device, "down"), b"and back", 10)
                    assert await asyncio.to_thread(device.hear) == b"and back"
                    device.close()

        asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": b"wrong"}, "broker_says_"),
        ({"username": "nobody", "client_id": "nobody"}, "broker_says_"),
        ({"host": "127.0.0.2"}, "unreachable"),
    ],
)
def test_a_broker_that_does_not_let_us_in_is_told_and_tried_again(
    broker: Running, change: dict[str, Any], code: str, caplog: pytest.LogCaptureFixture
):
    box = Box(login(broker, **change))

    async def main() -> None:
        task = asyncio.ensure_future(box.client.run())
        await until(lambda: box.client.counts["disconnects"] >= 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level("INFO", "latchpin"):
        asyncio.run(main())
    members = [record.__dict__["members"] for record in caplog.records]
    assert len(members) >= 2 and all(each["code"].startswith(code) for each in members) and not box.ready


def test_a_broker_with_another_certificate_is_not_spoken_to(broker: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    other = tmp_path / "other"
    other.mkdir()
    ca, _, _ = running.certificate(other)
    box = Box(login(broker, tls=ssl.create_default_context(cafile=str(ca))))

    async def main() -> None:
        task = asyncio.ensure_future(box.client.run())
        await until(lambda: box.client.counts["disconnects"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level("INFO", "latchpin"):
        asyncio.run(main())
    assert caplog.records[0].__dict__["members"]["code"] == "certificate"


# A rude broker


class Rude:
    """One TLS listener whose connections say what the test says. `packets`: what the client sent."""

    def __init__(self, folder: Path) -> None:
        self.ca, chain, key = running.certificate(folder)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(chain, key)
        self.packets: list[Any] = []
        self.connections = 0
        self.writer: asyncio.StreamWriter | None = None
        self.grant = mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE
        self.connack: dict[str, Any] = {}
        self.silent = False
        self.banner = b""  # in place of CONNACK

    @contextlib.asynccontextmanager
    async def listens(self) -> AsyncIterator[Login]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = server.sockets[0].getsockname()[1]
        tls = ssl.create_default_context(cafile=str(self.ca))
        try:
            yield Login("localhost", port, tls, "bridge", "bridge", b"password", 20, 4)
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        rest = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                rest += data
                while rest:
                    try:
                        packet, size = mqtt5.read(memoryview(rest))
                    except IndexError:
                        break
                    rest = rest[size:]
                    self.packets.append(packet)
                    self._answer(packet)
        writer.close()

    def _answer(self, packet: Any) -> None:
        if self.silent:
            return
        if isinstance(packet, mqtt5.ConnectPacket):
            self.say(self.banner or mqtt5.ConnAckPacket(**self.connack))
        elif isinstance(packet, mqtt5.SubscribePacket):
            self.say(mqtt5.SubAckPacket(packet.packet_id, [self.grant] * len(packet.topic_filters)))
        elif isinstance(packet, mqtt5.PingReqPacket):
            self.say(mqtt5.PingRespPacket())

    def say(self, *packets: Any) -> None:
        assert self.writer
        self.writer.write(b"".join(packet if isinstance(packet, bytes) else packet.write() for packet in packets))

    def of(self, kind: type) -> list[Any]:
        return [packet for packet in self.packets if isinstance(packet, kind)]


def publish(number: int, topic: str = "latchpin/1/lp-7f3k2m/hello", **changes: Any) -> Any:
    return mqtt5.PublishPacket(topic, b"%d" % number, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number, **changes)


@pytest.fixture
def rude(tmp_path: Path) -> Iterator[Rude]:
    yield Rude(tmp_path)


def against(rude: Rude, test: Callable[[Box], Awaitable[None]], admit: bool = True, **changes: Any) -> None:
    async def main() -> None:
        async with rude.listens() as way, Box(way._replace(**changes), admit).runs() as box:
            await test(box)

    asyncio.run(main())


def test_it_says_who_it_is_and_what_it_can_take(rude: Rude):
    async def test(box: Box) -> None:
        connect = rude.of(mqtt5.ConnectPacket)[0]
        assert connect.clean_start and connect.session_expiry_interval == 0 and connect.receive_max == 4
        assert (connect.client_id, connect.username, connect.password) == ("bridge", "bridge", b"password")
        assert connect.will is None and connect.topic_alias_max == 0 and connect.max_packet_size == broker_client.MAX_PACKET
        subscribe = rude.of(mqtt5.SubscribePacket)[0]
        assert [each.pattern for each in subscribe.topic_filters] == FILTERS
        assert all(each.retain_as_published for each in subscribe.topic_filters)

    against(rude, test)


def test_tcp_does_not_wait_for_more(rude: Rude):
    async def test(box: Box) -> None:
        connection: Any = box.client._connection
        connected = connection._transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    against(rude, test)


def test_acknowledgements_leave_in_the_order_of_arrival(rude: Rude):
    async def test(box: Box) -> None:
        rude.say(publish(7), publish(5), publish(6))
        await until(lambda: len(box.owed) == 3)
        box.owed[2]()
        box.owed[1]()
        await asyncio.sleep(0.1)
        assert not rude.of(mqtt5.PubAckPacket)
        box.owed[0]()
        await until(lambda: len(rude.of(mqtt5.PubAckPacket)) == 3)
        assert [packet.packet_id for packet in rude.of(mqtt5.PubAckPacket)] == [7, 5, 6]

    against(rude, test, admit=False)


def test_a_broker_that_sends_more_than_receive_maximum_is_left(rude: Rude):
    async def test(box: Box) -> None:
        rude.say(*[publish(number) for number in range(1, 6)])
        await until(lambda: rude.connections == 2)
        assert len(box.came) == 4

    against(rude, test, admit=False)


def test_a_late_acknowledgement_does_not_reach_the_next_connection(rude: Rude):
    async def test(box: Box) -> None:
        rude.say(publish(1))
        await until(lambda: box.owed)
        assert rude.writer
        rude.writer.close()
        await until(lambda: box.ready == 2)
        box.owed[0]()
        await asyncio.sleep(0.1)
        assert not rude.of(mqtt5.PubAckPacket)

    against(rude, test, admit=False)


def test_a_retained_frame_is_dropped_and_acknowledged(rude: Rude):
    async def test(box: Box) -> None:
        rude.say(publish(1, retain=True), publish(2))
        await until(lambda: len(rude.of(mqtt5.PubAckPacket)) == 2)
        assert [payload for _, payload in box.came] == [b"2"] and box.client.counts["dropped_retained"] == 1

    against(rude, test)


def test_a_publication_carries_its_expiry_and_waits_for_room(rude: Rude):
    rude.connack = {"receive_max": 2}

    async def test(box: Box) -> None:
        for number in range(5):
            box.client.publish("latchpin/1/lp-7f3k2m/down", b"%d" % number, 10)
        await until(lambda: len(rude.of(mqtt5.PublishPacket)) == 2)
        await asyncio.sleep(0.1)
        sent = rude.of(mqtt5.PublishPacket)
        assert len(sent) == 2 and all(packet.message_expiry_interval == 10 and not packet.retain for packet in sent)
        assert all(packet.qos == mqtt5.QoS.AT_LEAST_ONCE for packet in sent)
        for packet in sent:
            rude.say(mqtt5.PubAckPacket(packet.packet_id))
        await until(lambda: len(rude.of(mqtt5.PublishPacket)) == 4)

    against(rude, test)


def test_what_was_not_acknowledged_is_sent_again_and_what_is_too_old_is_not(rude: Rude):
    async def test(box: Box) -> None:
        box.client.publish("latchpin/1/lp-7f3k2m/down", b"short", 1)
        box.client.publish("latchpin/1/lp-7f3k2m/down", b"long", 30)
        await until(lambda: len(rude.of(mqtt5.PublishPacket)) == 2)
        await asyncio.sleep(1.1)
        assert rude.writer
        rude.writer.close()
        await until(lambda: len(rude.of(mqtt5.PublishPacket)) == 3)
        assert rude.of(mqtt5.PublishPacket)[2].payload == b"long" and box.client.counts["expired"] == 1

    against(rude, test)


def test_a_broker_that_has_gone_silent_is_noticed(rude: Rude, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_client, "ANSWER_S", 0.5)

    async def test(box: Box) -> None:
        rude.silent = True
        await until(lambda: box.client.counts["disconnects"])
        rude.silent = False
        await until(lambda: box.ready == 2)

    against(rude, test, keep_alive_s=1)


def test_a_silent_broker_that_never_answers_connect_is_left(rude: Rude, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_client, "CONNECT_S", 0.3)
    rude.silent = True

    async def main() -> None:
        async with rude.listens() as way:
            box = Box(way)
            task = asyncio.ensure_future(box.client.run())
            await until(lambda: rude.connections >= 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "packet",
    [
        b"\x00\x00",
        b"\xff" * 10,
        b"\x32\x02\x00\x05",
        b"\x30\xff\xff\xff\x7f" + bytes(20000),
        publish(1, topic_alias=3),
        mqtt5.PublishPacket("latchpin/1/lp-7f3k2m/hello", b"", qos=mqtt5.QoS.EXACTLY_ONCE, packet_id=1),
        mqtt5.ConnectPacket("me?"),
        mqtt5.AuthPacket(),
        mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER),
        publish(1, "latchpin/1/lp-7f3k2m/XX").write().replace(b"XX", b"\xff\xfe"),
        b"\x20\x0a\x00\x00\x07\x12\x00\x04ab\xff\xfe",
    ],
)
def test_a_packet_that_has_no_place_ends_the_connection_and_not_the_process(rude: Rude, packet: Any):
    async def test(box: Box) -> None:
        rude.say(packet)
        await until(lambda: box.ready == 2)
        assert not box.came

    against(rude, test)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_text_that_is_not_utf_8_is_a_malformed_packet_and_not_the_end_of_the_process(
    rude: Rude, loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
):
    rude.banner = b"\x20\x0a\x00\x00\x07\x12\x00\x04ab\xff\xfe"  # CONNACK, Assigned Client Identifier

    async def main() -> None:
        async with rude.listens() as way:
            box = Box(way)
            task = asyncio.ensure_future(box.client.run())
            await until(lambda: box.client.counts["disconnects"] == 2)
            rude.banner = b""
            await until(lambda: box.ready)
            rude.say(publish(1, "latchpin/1/lp-7f3k2m/XX").write().replace(b"XX", b"\xff\xfe"))
            await until(lambda: box.ready == 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level("INFO", "latchpin"), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert [record.__dict__["members"]["code"] for record in caplog.records] == ["malformed_packet"] * 3


@pytest.mark.parametrize(
    ("connack", "grant"),
    [
        ({"max_qos": mqtt5.QoS.AT_MOST_ONCE}, None),
        ({"shared_subscription_available": False}, None),
        ({"reason_code": mqtt5.ConnAckReasonCode.NOT_AUTHORIZED}, None),
        ({}, mqtt5.SubAckReasonCode.NOT_AUTHORIZED),
        ({}, mqtt5.SubAckReasonCode.GRANTED_QOS_AT_MOST_ONCE),
    ],
)
def test_a_broker_without_what_we_need_is_not_used(rude: Rude, connack: dict[str, Any], grant: Any):
    rude.connack = connack
    rude.grant = grant or rude.grant

    async def main() -> None:
        async with rude.listens() as way:
            box = Box(way)
            task = asyncio.ensure_future(box.client.run())
            await until(lambda: box.client.counts["disconnects"] >= 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not box.ready and not box.client.connected

    asyncio.run(main())


def test_packets_in_pieces_of_any_size_are_put_together(rude: Rude):
    async def test(box: Box) -> None:
        stream = b"".join(publish(number % 4 + 1).write() for number in range(12))
        assert rude.writer
        for at in range(0, len(stream), 7):
            rude.writer.write(stream[at : at + 7])
            await rude.writer.drain()
            await asyncio.sleep(0.002)
        await until(lambda: len(box.came) == 12)

    against(rude, test)


def test_goodbye_is_said_at_the_end(rude: Rude):
    async def main() -> None:
        async with rude.listens() as way:
            async with Box(way).runs():
                pass
            await until(lambda: rude.of(mqtt5.DisconnectPacket))

    asyncio.run(main())
    assert "password" not in repr(Login("h", 1, ssl.create_default_context(), "c", "u", b"password", 1, 1))
