"""What MQTT 5 promises and Latchpin leans on, the same on both brokers.

Not about who may do what (test_isolation.py), nor about what only the demo broker says (test_demo_broker.py).
"""

import time
from collections.abc import Iterator
from typing import Any

import mqtt5
import pytest
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, QoS

from broker_bridge.registry import Registry, hash_mqtt_password
from tests.brokers.clients import Paho, Raw, eventually, raw
from tests.brokers.conftest import a_point, password
from tests.brokers.running import Running

HELLO, UP, DOWN, STATE = (f"latchpin/1/lp-alpha/{rest}" for rest in ("hello", "up/r001", "down", "state"))
WILL = mqtt5.Will(STATE, payload=b"0", qos=QoS.AT_LEAST_ONCE, retain=True)


def joined(client: Raw, **more: Any) -> Raw:
    answer = client.connect("lp-alpha", password("lp-alpha"), **more)
    assert answer.reason_code == ConnAckReasonCode.SUCCESS
    return client


@pytest.fixture
def second(broker: Running) -> Iterator[Paho]:
    """Another replica of the bridge."""
    client = Paho(broker, "bridge-2", broker.bridge_password)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def nothing_is_retained(broker: Running) -> None:
    with raw(broker) as client:
        joined(client).publish(STATE, b"", 1, retain=True)
        client.send(mqtt5.DisconnectPacket())


@pytest.mark.parametrize("qos", (0, 1))
def test_payloads_pass_both_ways_in_order_and_unaltered(bridge: Paho, alpha: Paho, qos: int):
    sent = [bytes((number,)) * (number * 16) for number in range(1, 60)]
    for payload in sent:
        alpha.client.publish(UP, payload, qos)
    assert alpha.publish(UP, b"end", qos) == 0
    assert bridge.payloads_until(b"end") == sent
    for payload in sent:
        bridge.client.publish(DOWN, payload, qos)
    assert bridge.publish(DOWN, b"end", qos) == 0
    assert alpha.payloads_until(b"end") == sent


def test_properties_travel_with_the_message(bridge: Paho, alpha: Paho):
    told = {
        "ContentType": "application/cbor",
        "ResponseTopic": "a/b",
        "CorrelationData": b"\0\1",
        "UserProperty": [("a", "1"), ("a", "2")],
    }
    assert alpha.publish(UP, b"x", PayloadFormatIndicator=1, MessageExpiryInterval=30, **told) == 0
    found = bridge.message().properties.json()  # type: ignore[union-attr]
    assert found.pop("MessageExpiryInterval") in (29, 30)
    assert found.pop("CorrelationData") == "0001"
    assert found["ContentType"] == "application/cbor"
    assert [tuple(pair) for pair in found["UserProperty"]] == [("a", "1"), ("a", "2")]
    assert (found["ResponseTopic"], found["PayloadFormatIndicator"]) == ("a/b", 1)


def test_a_publish_that_nobody_reads_says_so(alpha: Paho):
    assert alpha.publish("latchpin/1/lp-alpha/up/nobody", b"x") == 0x10


def test_a_second_connection_takes_over_and_the_first_is_told(broker: Running, bridge: Paho):
    with raw(broker) as first, raw(broker) as later:
        joined(first, will=WILL).subscribe(DOWN)
        assert first.publish(STATE, b"1", 1, retain=True).reason_code == PubAckReasonCode.SUCCESS
        assert bridge.payload() == b"1"
        joined(later).subscribe(DOWN)
        told = first.receive()
        assert told.reason_code == DisconnectReasonCode.SESSION_TAKEN_OVER if told else broker.kind == "mosquitto"
        assert first.receive() is None
        assert bridge.payload() == b"0", "the session of the first is over, so its will is due (section 3.1.2.5)"
        assert bridge.publish(DOWN, b"for the second") == 0
        assert later.receive().payload == b"for the second"


def test_the_will_comes_after_a_cut_and_not_after_a_goodbye(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, will=WILL)
    assert bridge.payload() == b"0"
    with raw(broker) as client:
        joined(client, will=WILL).send(mqtt5.DisconnectPacket())
        assert client.receive() is None
    with raw(broker) as client:
        joined(client, will=WILL).send(mqtt5.DisconnectPacket(reason_code=DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
        assert client.receive() is None
    with raw(broker) as client:
        assert joined(client).publish(UP, b"end").reason_code == PubAckReasonCode.SUCCESS
    assert bridge.payloads_until(b"end") == [b"0"]


def test_a_silent_client_is_let_go_after_one_and_a_half_keep_alives(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, will=WILL, keep_alive=2)
        started = time.monotonic()
        assert bridge.payload() == b"0"
        assert time.monotonic() - started >= 2
        told = client.receive()
        assert told is None or told.reason_code == DisconnectReasonCode.KEEP_ALIVE_TIMEOUT


def test_a_ping_keeps_the_connection(broker: Running):
    with raw(broker) as client:
        joined(client, keep_alive=1)
        for _ in range(5):
            time.sleep(0.6)
            assert isinstance(client.ping(), mqtt5.PingRespPacket)


def test_what_is_retained_comes_to_later_readers_with_the_retain_bit(bridge: Paho, second: Paho, alpha: Paho):
    assert alpha.publish(STATE, b"1", retain=True) == 0
    live = bridge.message()
    assert (live.payload, live.retain) == (b"1", False)
    assert second.subscribe("latchpin/1/+/state") == 1
    later = second.message()
    assert (later.payload, later.retain) == (b"1", True)
    assert alpha.publish(STATE, b"2", retain=True) == 0
    assert second.payload() == b"2"
    assert second.subscribe("latchpin/1/+/state") == 1
    assert (again := second.message()).payload == b"2" and again.retain, "retain handling 0: at every SUBSCRIBE"
    second.unsubscribe("latchpin/1/+/state")
    assert second.subscribe("latchpin/1/+/state", retainAsPublished=True, retainHandling=2) == 1
    assert alpha.publish(STATE, b"3", retain=True) == 0
    assert second.message().retain, "retain as published"
    assert second.subscribe("latchpin/1/+/state", retainHandling=1) == 1
    assert second.subscribe("latchpin/1/lp-alpha/state", retainHandling=2) == 1
    assert alpha.publish(STATE, b"", retain=True) == 0
    assert second.payload() == b"", "nothing came for retain handling 1 (known) and 2 (never)"
    second.unsubscribe("latchpin/1/+/state", "latchpin/1/lp-alpha/state")
    while not second.messages.empty():
        second.messages.get()
    assert second.subscribe("latchpin/1/lp-alpha/state") == 1
    assert alpha.publish(STATE, b"end") == 0
    assert second.payloads_until(b"end") == [], "an empty payload forgets"


def test_a_share_gives_each_message_to_one_member_and_all_to_the_last(broker: Running, second: Paho, alpha: Paho):
    first = Paho(broker, "bridge", broker.bridge_password)
    for member in (first, second):
        assert member.subscribe("$share/latchpin/latchpin/1/+/hello") == 1
    for number in range(100):
        assert alpha.publish(HELLO, b"%d" % number) == 0
    # Which member gets which message is the broker's choice (MQTT 5, section 4.8.2); a busy mosquitto does not count in turn.
    assert eventually(lambda: first.messages.qsize() + second.messages.qsize() >= 100)
    shares = [[int(member.payload()) for _ in range(member.messages.qsize())] for member in (first, second)]
    assert sorted(shares[0] + shares[1]) == list(range(100)) and all(share and share == sorted(share) for share in shares)
    if broker.kind == "embedded":
        assert len(shares[0]) == 50
    first.unsubscribe("$share/latchpin/latchpin/1/+/hello")  # acknowledged: a goodbye may be read after the next message
    first.close()
    for number in range(10):
        assert alpha.publish(HELLO, b"%d" % number) == 0
    assert [int(second.payload()) for _ in range(10)] == list(range(10))


def test_the_broker_keeps_to_the_receive_maximum_of_a_client(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, receive_max=2).subscribe(DOWN)
        for number in range(5):
            assert bridge.publish(DOWN, b"%d" % number) == 0
        window = [client.receive(), client.receive()]
        assert isinstance(client.receive_or_ping(), mqtt5.PingRespPacket), "two are under way, so no third"
        for number in range(2, 5):
            client.acknowledge(window[number - 2])
            window.append(client.receive())
        assert [packet.payload for packet in window] == [b"%d" % number for number in range(5)]
        assert len({packet.packet_id for packet in window[-2:]}) == 2


def test_acknowledgements_come_in_the_order_of_the_messages(broker: Running):
    with raw(broker) as client:
        receive_max = client.connect("lp-alpha", password("lp-alpha")).receive_max
        assert 0 < receive_max < 65535, "the broker says how many it takes at once"
        identifiers = list(range(1, receive_max + 1))
        client.send(*(mqtt5.PublishPacket(UP, b"x", qos=QoS.AT_LEAST_ONCE, packet_id=identifier) for identifier in identifiers))
        assert [client.receive().packet_id for _ in identifiers] == identifiers


def test_a_packet_longer_than_a_client_takes_is_not_sent_to_it(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, max_packet_size=200).subscribe(DOWN)
        assert bridge.publish(DOWN, bytes(500)) in (0, 0x10)
        assert bridge.publish(DOWN, b"short") == 0
        assert client.receive().payload == b"short"


def test_a_packet_longer_than_the_broker_takes_ends_the_connection(broker: Running):
    with raw(broker) as client:
        assert client.connect("lp-alpha", password("lp-alpha")).max_packet_size == 8192
        told = client.publish(HELLO, bytes(9000))
        assert told is None or told.reason_code == DisconnectReasonCode.PACKET_TOO_LARGE


def test_a_frame_of_4096_bytes_passes_and_a_longer_one_does_not(broker: Running, bridge: Paho):
    with raw(broker) as client:
        assert joined(client).publish(UP, bytes(4096)).reason_code == PubAckReasonCode.SUCCESS
        client.send(mqtt5.PublishPacket(UP, bytes(4097), qos=QoS.AT_MOST_ONCE))
    with raw(broker) as client:
        assert joined(client).publish(UP, b"end").reason_code == PubAckReasonCode.SUCCESS
    assert bridge.payloads_until(b"end") == [bytes(4096)]


def test_a_message_that_waited_too_long_is_not_delivered(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, receive_max=1).subscribe(DOWN)
        assert bridge.publish(DOWN, b"first") == 0
        assert bridge.publish(DOWN, b"stale", MessageExpiryInterval=1) == 0
        assert bridge.publish(DOWN, b"fresh", MessageExpiryInterval=30) == 0
        held = client.receive()
        time.sleep(2.1)
        client.acknowledge(held)
        if broker.kind == "mosquitto":  # 2.0.11 forgets what stands behind an expired message until something new comes
            assert bridge.publish(DOWN, b"new") == 0
            assert client.receive().payload in (b"fresh", b"new")
            return
        fresh = client.receive()
        assert fresh.payload == b"fresh"
        assert fresh.message_expiry_interval in (27, 28), "what is left of it (section 3.3.2.3.3)"


def test_nothing_waits_for_a_device_that_was_away(broker: Running, bridge: Paho):
    with raw(broker) as client:
        joined(client, session_expiry_interval=0).subscribe(DOWN)
    assert bridge.publish(DOWN, b"missed") in (0, 0x10)
    with raw(broker) as client:
        answer = client.connect("lp-alpha", password("lp-alpha"), clean_start=False)
        assert not answer.session_present
        assert isinstance(client.receive_or_ping(), mqtt5.PingRespPacket)


def greeting(broker: Running, name: str, secret: str) -> ConnAckReasonCode | None:
    with raw(broker) as client:
        answer = client.connect(name, secret)
        return answer and answer.reason_code


def test_a_revoked_device_is_let_go_and_a_new_one_comes_in(broker: Running):
    registry = Registry(broker.registry)
    registry.enrol("lp-guest", a_point(), hash_mqtt_password(b"guest"))
    broker.reload()
    assert eventually(lambda: greeting(broker, "lp-guest", "guest") == ConnAckReasonCode.SUCCESS)
    with raw(broker) as client:
        assert client.connect("lp-guest", "guest").reason_code == ConnAckReasonCode.SUCCESS
        registry.revoke("lp-guest")
        broker.reload()
        told = client.receive(5)
        assert told is None or told.reason_code in (
            DisconnectReasonCode.NOT_AUTHORIZED,
            DisconnectReasonCode.ADMINISTRATIVE_ACTION,
        )
    assert greeting(broker, "lp-guest", "guest") != ConnAckReasonCode.SUCCESS
