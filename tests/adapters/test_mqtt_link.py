"""adapters/mqtt_link.py on both Pythons, against real mosquitto and against servers that say what a test writes.

Not for TLS: test_tls.py has that.
"""

import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest

from tests.adapters.certificates import Certificates
from tests.adapters.mosquitto import USERS, Mosquitto
from tests.adapters.support import DEVICE, Run
from tests.adapters.tls_servers import TlsServer

DEVICE_1 = "lp-device-1"
DOWN = f"latchpin/1/{DEVICE_1}/down"
UP = f"latchpin/1/{DEVICE_1}/up/replica-1"
STATE = f"latchpin/1/{DEVICE_1}/state"


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"), certificates)
    yield broker
    broker.stop()


class Bridge:
    """paho as the other side: everything it saw is in `.seen` as (topic, payload, retain, expiry)."""

    def __init__(self, port: int, certificates: Certificates):
        self.seen: list[tuple[str, bytes, bool, int | None]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="bridge", protocol=paho.MQTTv5)
        self.client.tls_set(str(certificates.ca_pem))
        self.client.username_pw_set("bridge", USERS["bridge"])
        self.client.on_message = self._on_message
        self.client.connect("localhost", port)
        self.client.loop_start()
        self.client.subscribe("latchpin/1/#", qos=1)
        time.sleep(0.2)

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        expiry = getattr(message.properties, "MessageExpiryInterval", None)
        self.seen.append((message.topic, message.payload, message.retain, expiry))
        if message.topic == UP and message.payload == b"echo":
            client.publish(DOWN, b"echoed", qos=1)

    def publish(self, topic: str, payload: bytes, **named) -> None:
        self.client.publish(topic, payload, qos=1, **named).wait_for_publish(5)

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 5
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.seen) >= count, self.seen

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def bridge(mosquitto: Mosquitto, certificates: Certificates) -> Iterator[Bridge]:
    other = Bridge(mosquitto.port, certificates)
    yield other
    other.publish(STATE, b"", retain=True)
    other.publish(DOWN, b"", retain=True)
    other.stop()


def how(port: int, certificates: Certificates, *steps: list, **named: object) -> dict:
    broker = {"host": "127.0.0.1", "port": port, "server_name": "localhost", "ca": certificates.ca}
    given = {"broker": broker, "device": DEVICE_1, "password": USERS[DEVICE_1], "subscribe": [DOWN], "steps": list(steps)}
    return given | named


# Against mosquitto.


def test_a_round_trip_arrives_with_its_expiry_and_its_answer(run: Run, mosquitto: Mosquitto, certificates, bridge: Bridge):
    came = run(
        "mqtt.py", how(mosquitto.port, certificates, ["connect"], ["publish", UP, "echo", False, 9], ["receive"], ["alive"])
    )
    assert came == [None, 0, [DOWN, 6, "echoed"], True]
    bridge.wait_for(2)
    topic, payload, retain, expiry = bridge.seen[0]
    assert (topic, payload, retain) == (UP, b"echo", False) and expiry is not None and expiry <= 9


def test_the_pin_alone_is_enough_to_connect(run: Run, mosquitto: Mosquitto, certificates: Certificates):
    pinned = how(mosquitto.port, certificates, ["connect"], ["alive"])
    pinned["broker"] = {"host": "localhost", "port": mosquitto.port, "pin": certificates.good.pin}
    assert run("mqtt.py", pinned) == [None, True]


def test_a_wrong_pin_or_no_proof_at_all_is_tls_and_the_password_stays_here(run: Run, mosquitto, certificates: Certificates):
    for proof in ({"pin": certificates.again.pin}, {}, {"ca": "no-such-file.der"}):
        given = how(mosquitto.port, certificates, ["connect"], ["alive"])
        given["broker"] = {"host": "localhost", "port": mosquitto.port} | proof
        refused, alive = run("mqtt.py", given)
        assert refused["code"] == "tls" and alive is False


def test_a_wrong_password_is_refused_by_its_reason_code(run: Run, mosquitto: Mosquitto, certificates: Certificates):
    refused, alive = run("mqtt.py", how(mosquitto.port, certificates, ["connect"], ["alive"], password="password-2"))
    assert (refused["code"], refused["reason"], alive) == ("refused", 0x87, False)


def test_a_foreign_topic_is_refused_by_its_reason_code_and_the_link_lives_on(run: Run, mosquitto, certificates, bridge: Bridge):
    steps = (["connect"], ["publish", "latchpin/1/lp-device-2/hello", "x"], ["publish", UP, "echo"], ["receive"])
    _, refused, accepted, received = run("mqtt.py", how(mosquitto.port, certificates, *steps))
    assert (refused["code"], refused["reason"]) == ("refused", 0x87)
    assert accepted == 0 and received[2] == "echoed"


def test_a_message_that_nobody_subscribed_to_says_so(run: Run, mosquitto: Mosquitto, certificates: Certificates):
    assert run("mqtt.py", how(mosquitto.port, certificates, ["connect"], ["publish", UP, "x"])) == [None, 0x10]


def test_frames_up_to_4096_bytes_pass_both_ways(run: Run, mosquitto: Mosquitto, certificates: Certificates, bridge: Bridge):
    came = run(
        "mqtt.py",
        how(mosquitto.port, certificates, ["connect"], ["publish_many", UP, 3, 4_096], ["publish", UP, "echo"], ["receive"]),
    )
    assert came[1] == 3
    assert [len(payload) for _, payload, _, _ in bridge.seen[:3]] == [4_096] * 3
    assert bridge.seen[1][1] == b"\x01" * 4_096


def test_state_is_retained_and_the_will_is_sent_only_when_the_device_dies(
    run: Run, mosquitto: Mosquitto, certificates: Certificates, bridge: Bridge, python: str
):
    will = [STATE, "0"]
    run("mqtt.py", how(mosquitto.port, certificates, ["connect"], ["publish", STATE, "1", True], ["close"], will=will))
    bridge.wait_for(1)
    time.sleep(0.3)
    assert [payload for topic, payload, _, _ in bridge.seen if topic == STATE] == [b"1"]
    with pytest.raises(subprocess.TimeoutExpired):
        run("mqtt.py", how(mosquitto.port, certificates, ["connect"], ["sleep", 30], will=will), timeout_s=3)
    bridge.wait_for(2)
    assert bridge.seen[-1][:2] == (STATE, b"0")


def test_a_retained_message_is_never_delivered(run: Run, mosquitto: Mosquitto, certificates: Certificates, bridge: Bridge):
    bridge.publish(DOWN, b"from the past", retain=True)
    steps = (["connect"], ["receive_nothing", 0.5], ["publish", UP, "echo"], ["receive"])
    came = run("mqtt.py", how(mosquitto.port, certificates, *steps))
    assert came == [None, "nothing", 0, [DOWN, 6, "echoed"]]


def test_a_broker_that_stops_answering_is_noticed_within_the_keep_alive(
    run: Run, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
):
    broker = Mosquitto(tmp_path_factory.mktemp("half-open"), certificates)
    try:
        given = how(broker.port, certificates, ["connect"], ["sleep", 1.5], ["receive", 20], ["alive"], keepalive_s=3)
        threading.Timer(1.5, broker.pause).start()
        _, _, lost, alive = run("mqtt.py", given)
    finally:
        broker.stop()
    assert lost["code"] == "timeout" and "PINGREQ" in lost["text"] and alive is False
    assert lost["ms"] < 4_000


def test_a_broker_that_dies_is_noticed_at_once(run: Run, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates):
    broker = Mosquitto(tmp_path_factory.mktemp("dies"), certificates)
    threading.Timer(1.5, broker.stop).start()
    _, lost, alive = run("mqtt.py", how(broker.port, certificates, ["connect"], ["receive", 20], ["alive"]))
    assert lost["code"] == "closed" and alive is False


def test_a_second_device_with_the_same_name_ends_the_first(run: Run, mosquitto, certificates: Certificates):
    def take_over() -> None:
        other = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=DEVICE_1, protocol=paho.MQTTv5)
        other.tls_set(str(certificates.ca_pem))
        other.username_pw_set(DEVICE_1, USERS[DEVICE_1])
        other.connect("localhost", mosquitto.port)
        other.loop_start()
        time.sleep(1)
        other.disconnect()
        other.loop_stop()

    threading.Timer(1.5, take_over).start()
    _, lost = run("mqtt.py", how(mosquitto.port, certificates, ["connect"], ["receive", 20]))
    assert lost["code"] == "closed", "mosquitto 2.0 gives no reason"


def test_a_broker_that_ends_the_connection_is_quoted_with_its_reason(run: Run, tls_server, certificates: Certificates):
    server = tls_server(says(b"\xe0\x02\x8e\x00"), context=certificates.good.context())
    _, lost, again, alive = run(
        "mqtt.py", how(server.port, certificates, ["connect"], ["receive"], ["publish", UP, "x"], ["alive"])
    )
    assert (lost["code"], lost["reason"]) == (again["code"], again["reason"]) == ("closed", 0x8E) and alive is False


# Against a broker that says what the test writes.

CONNACK = b"\x20\x03\x00\x00\x00"
PINGRESP = b"\xd0\x00"


def puback(packet: bytes, reason: bytes = b"") -> bytes:
    """The PUBACK to a PUBLISH whose remaining length takes one or two bytes."""
    at = 2 if packet[1] < 128 else 3
    at += 2 + int.from_bytes(packet[at : at + 2], "big")
    return b"\x40" + bytes((2 + len(reason),)) + packet[at : at + 2] + reason


def publish(topic: str, payload: bytes, head: int = 0x32, number: bytes = b"\x00\x07", properties: bytes = b"") -> bytes:
    rest = len(topic).to_bytes(2, "big") + topic.encode() + (number if head & 6 else b"") + bytes((len(properties),)) + properties
    rest += payload
    length = bytes((len(rest),)) if len(rest) < 128 else bytes((len(rest) & 127 | 128, len(rest) >> 7))
    return bytes((head,)) + length + rest


def welcome(connection: ssl.SSLSocket, server: TlsServer, connack: bytes = CONNACK) -> bytes:
    """Answer CONNECT and SUBSCRIBE; returns the CONNECT."""
    connect = server.read_packet(connection)
    connection.sendall(connack)
    subscribe = server.read_packet(connection)
    connection.sendall(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
    return connect


Start = Callable[..., TlsServer]


def says(*packets: bytes) -> Callable:
    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        welcome(connection, server)
        for packet in packets:
            connection.sendall(packet)
        while server.read(connection):
            pass

    return behaviour


def test_connect_is_clean_with_credentials_will_and_limits(run: Run, tls_server: Start, certificates: Certificates):
    packets = []

    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        packets.append(welcome(connection, server))

    server = tls_server(behaviour, context=certificates.good.context())
    run("mqtt.py", how(server.port, certificates, ["connect"], will=[STATE, "0"]))
    connect = packets[0]
    body = connect[2:] if connect[1] < 128 else connect[3:]
    assert body[:7] == b"\x00\x04MQTT\x05"
    # User name, password, will retained at QoS 1, clean start (3.1.2.3); keep alive 30 s.
    assert body[7] == 0x80 | 0x40 | 0x20 | 0x08 | 0x04 | 0x02 and body[8:10] == b"\x00\x1e"
    assert body[10:19] == b"\x08\x21\x00\x02\x27" + struct.pack(">I", 8_192)
    assert body.endswith(b"\x00\x0b" + DEVICE_1.encode() + b"\x00\x0a" + USERS[DEVICE_1].encode())


def test_messages_are_acknowledged_in_order_and_only_when_taken(run: Run, tls_server: Start, certificates: Certificates):
    order = []

    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        welcome(connection, server)
        connection.sendall(publish(DOWN, b"one", number=b"\x00\x01") + publish(DOWN, b"two", number=b"\x00\x02"))
        connection.settimeout(0.7)
        with pytest.raises(TimeoutError):
            server.read(connection)
        connection.settimeout(30)
        order.append("nothing acknowledged yet")
        order.extend(server.read_packet(connection) for _ in range(2))

    server = tls_server(behaviour, context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["sleep", 1.5], ["receive"], ["receive"]))
    assert came[2:] == [[DOWN, 3, "one"], [DOWN, 3, "two"]]
    assert order == ["nothing acknowledged yet", b"\x40\x02\x00\x01", b"\x40\x02\x00\x02"]
    assert not server.failures


def test_a_live_message_with_the_retain_bit_is_acknowledged_and_dropped(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(
        says(publish(DOWN, b"old", head=0x33, number=b"\x00\x01"), publish(DOWN, b"new", number=b"\x00\x02")),
        context=certificates.good.context(),
    )
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["receive"], ["close"]))
    assert came[1] == [DOWN, 3, "new"]
    assert server.done.wait(30)
    assert b"\x40\x02\x00\x01\x40\x02\x00\x02" in server.seen


def test_properties_and_qos_0_are_understood(run: Run, tls_server: Start, certificates: Certificates):
    user = b"\x26\x00\x01k\x00\x01v"
    server = tls_server(
        says(publish(DOWN, b"zero", head=0x30), publish(DOWN, b"one", properties=user + b"\x02\x00\x00\x00\x05")),
        context=certificates.good.context(),
    )
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["receive"], ["receive"]))
    assert [item[2] for item in came[1:]] == ["zero", "one"]


HOSTILE = {
    "remaining length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "remaining length over the limit": b"\x30\x81\x40",
    "remaining length of 256 MiB": b"\x30\xff\xff\xff\x7f",
    "topic longer than its packet": b"\x32\x05\x00\x64abc",
    "topic length cut off": b"\x30\x01\x00",
    "empty PUBLISH": b"\x30\x00",
    "no packet identifier": b"\x32\x06\x00\x04down",
    "packet identifier 0": b"\x32\x09\x00\x04down\x00\x00\x00",
    "properties longer than the packet": b"\x30\x07\x00\x04down\x70",
    "property length of five bytes": b"\x30\x0b\x00\x04down\xff\xff\xff\xff\x01",
    "topic that is no UTF-8": b"\x30\x04\x00\x01\xff\x00",
    "QoS 2": b"\x34\x09\x00\x04down\x00\x01\x00",
    "QoS 3": b"\x36\x09\x00\x04down\x00\x01\x00",
    "CONNACK again": CONNACK,
    "PUBACK to nothing": b"\x40\x02\x00\x09",
    "SUBACK to nothing": b"\x90\x04\x00\x09\x00\x00",
    "PUBREC": b"\x50\x02\x00\x01",
    "PINGREQ from a broker": b"\xc0\x00",
    "PINGRESP with a body": b"\xd0\x01\x00",
    "AUTH": b"\xf0\x00",
    "type 0": b"\x00\x00",
    "PUBACK with flags": b"\x42\x02\x00\x01",
    "more than Receive Maximum": b"".join(publish(DOWN, b"x", number=bytes((0, n))) for n in (1, 2, 3)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broker_that_breaks_the_protocol_is_left(run: Run, tls_server: Start, certificates: Certificates, name: str):
    server = tls_server(says(HOSTILE[name]), context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["sleep", 0.3], ["publish", UP, "x"], ["alive"]))
    assert came[2]["code"] == "protocol" and came[3] is False
    assert server.done.wait(30)
    assert UP.encode() not in server.seen


def test_a_packet_that_never_ends_is_left_by_the_keep_alive(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(says(b"\x30\x7f\x00"), context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["receive", 20], keepalive_s=2))
    assert came[1]["code"] == "timeout" and came[1]["ms"] < 4_000


@pytest.mark.parametrize(
    ("connack", "code", "reason"),
    [
        (b"\x20\x03\x00\x86\x00", "refused", 0x86),
        (b"\x20\x03\x00\x88\x00", "refused", 0x88),
        (b"\x20\x02\x00\x01", "refused", 0x01),  # a broker of MQTT 3.1.1
        (b"\x20\x05\x00\x00\x02\x24\x00", "refused", 0x9B),  # Maximum QoS 0
        (b"\x20\x00", "protocol", None),
        (b"\x20\x05\x00\x00\x02\x7e\x00", "protocol", None),  # no such property
        (b"\x90\x03\x00\x01\x00", "protocol", None),
        (b"\xe0\x01\x8b", "closed", 0x8B),
    ],
)
def test_a_connack_that_is_no_welcome_has_its_code(run: Run, tls_server: Start, certificates, connack: bytes, code: str, reason):
    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        server.read_packet(connection)
        connection.sendall(connack)
        while server.read(connection):
            pass

    server = tls_server(behaviour, context=certificates.good.context())
    refused, alive = run("mqtt.py", how(server.port, certificates, ["connect"], ["alive"]))
    assert (refused["code"], refused["reason"], alive) == (code, reason, False)


def test_a_refused_subscription_has_its_reason_code(run: Run, tls_server: Start, certificates: Certificates):
    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        server.read_packet(connection)
        connection.sendall(CONNACK)
        subscribe = server.read_packet(connection)
        connection.sendall(b"\x90\x04" + subscribe[2:4] + b"\x00\x87")
        server.read(connection)

    server = tls_server(behaviour, context=certificates.good.context())
    (refused,) = run("mqtt.py", how(server.port, certificates, ["connect"]))
    assert (refused["code"], refused["reason"]) == ("refused", 0x87)


def test_every_property_that_a_connack_may_have_is_read(run: Run, tls_server: Start, certificates: Certificates):
    text = b"\x00\x03abc"
    properties = (
        b"\x11\x00\x00\x00\x00\x21\x00\x10\x24\x01\x25\x00\x27\x00\x00\x01\x00\x12" + text + b"\x22\x00\x05\x1f" + text
        + b"\x26" + text + text + b"\x28\x01\x29\x01\x2a\x00\x13\x00\x03\x1a" + text + b"\x1c" + text + b"\x15" + text
        + b"\x16" + text
    )  # fmt: skip
    properties += b"\x26\x00\x01k\x00\x50" + b"v" * 0x50  # more than 127 bytes of them
    length = bytes((len(properties) & 127 | 128, len(properties) >> 7))
    body = b"\x00\x00" + length + properties
    connack = b"\x20" + bytes((len(body) & 127 | 128, len(body) >> 7)) + body
    heads = []

    def behaviour(connection: ssl.SSLSocket, server: TlsServer) -> None:
        welcome(connection, server, connack)
        packet = server.read_packet(connection)
        heads.append(packet[0])
        connection.sendall(puback(packet))
        heads.append(server.read_packet(connection))

    server = tls_server(behaviour, context=certificates.good.context())
    steps = (["connect"], ["publish", STATE, "1", True], ["publish", UP, "x" * 300], ["sleep", 1.5])
    came = run("mqtt.py", how(server.port, certificates, *steps))
    assert came[1] == 0 and (came[2]["code"], came[2]["reason"]) == ("refused", 0x95), "Maximum Packet Size 256"
    # Retain Available 0: the bit is left out; Server Keep Alive 3 s: a PINGREQ after one.
    assert heads == [0x32, b"\xc0\x00"]


def test_an_unanswered_publish_ends_the_link_in_time(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(says(), context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["publish", UP, "x"], ["alive"], timeout_s=1))
    assert came[1]["code"] == "timeout" and came[1]["ms"] < 3_000 and came[2] is False


def test_a_cancelled_publish_ends_the_link(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(says(), context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["publish_and_give_up", UP], ["alive"], ["receive", 9]))
    assert came[1:3] == ["given up", False] and came[3]["code"] == "closed"


def test_a_broker_that_accepts_and_says_nothing_is_given_up(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(context=certificates.good.context())
    refused, alive = run("mqtt.py", how(server.port, certificates, ["connect"], ["alive"], timeout_s=1))
    assert refused["code"] in ("timeout", "closed") and alive is False


def test_a_broker_that_takes_no_more_bytes_is_given_up(run: Run, tls_server: Start, certificates: Certificates):
    def deaf(connection: ssl.SSLSocket, server: TlsServer) -> None:
        welcome(connection, server)
        time.sleep(15)

    server = tls_server(deaf, context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["publish", UP, "x" * 4_000], timeout_s=1))
    assert came[1]["code"] == "timeout"


def test_close_says_goodbye_and_may_come_twice(run: Run, tls_server: Start, certificates: Certificates):
    server = tls_server(says(), context=certificates.good.context())
    came = run("mqtt.py", how(server.port, certificates, ["connect"], ["close"], ["close"], ["alive"], ["receive"]))
    assert came[3] is False and came[4]["code"] == "closed"
    assert server.done.wait(30)
    assert server.seen.endswith(b"\xe0\x00")


def test_the_interface_for_another_client_is_the_public_part_of_the_class():
    sys.path.insert(0, str(DEVICE))
    from latchpin.adapters.mqtt_link import MqttLink

    public = {name for name in vars(MqttLink) if not name.startswith("_")}
    assert public == {"alive", "connect", "publish", "receive", "close"}
