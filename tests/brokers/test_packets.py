"""Packets that strangers wrote (mosquitto's vectors) and packets that chance wrote, at the demo broker.

Not about access: the vectors run on a broker that lets everybody do everything (open_broker.py).
"""

import contextlib
import random
import unittest
from collections.abc import Iterator
from typing import Any

import mqtt5
import pytest
from mqtt5 import QoS

from host_sim.mqtt_broker import MAX_PACKET, Refused, decoded, frame
from tests.brokers import running
from tests.brokers.clients import Raw, packet, raw, text
from tests.brokers.conftest import enrolled, password
from tests.brokers.running import Running
from tests.vectors import strangers

FILES = """AUTH CONNACK CONNECT DISCONNECT FLOW PINGREQ PINGRESP PUBACK PUBCOMP PUBLISH PUBREC PUBREL
SUBACK SUBSCRIBE UNSUBACK UNSUBSCRIBE"""


@pytest.fixture(scope="module")
def open_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("open")
    with running.embedded(folder, enrolled(folder, ()), program=("tests.brokers.open_broker",)) as broker:
        yield broker
        assert broker.process.poll() is None


def other_on_purpose(test: dict[str, Any]) -> str:
    """Why the demo broker answers this vector differently, or nothing."""
    try:
        sent = [bytes.fromhex(message["payload"]) for message in test["msgs"] if message["type"] == "send"]
    except ValueError:
        return "the vector is not hexadecimal"
    if any(first[0] >> 4 in (5, 6, 7) or first[0] & 0xF6 == 0x34 for first in sent) or "QoS 2" in test["name"]:
        return "no QoS 2: CONNACK says Maximum QoS 1, and its packets are protocol errors"
    if "topic-alias" in test["name"] and sent[-1][0] >> 4 == 3:
        return "no topic aliases: CONNACK says Topic Alias Maximum 0"
    if "subscription-identifier" in test["name"] and sent[-1][0] >> 4 == 3:
        return "[MQTT-3.3.4-6]: a client's PUBLISH has no Subscription Identifier; mosquitto lets it pass"
    return ""


def alike(found: Any, wanted: bytes) -> bool:
    """The same bytes; or both a refusal, whatever its code; or both a CONNACK of success, whatever the broker offers in it."""
    data = found.write() if found is not None and not isinstance(found, str) else b""
    refused = data[:1] == wanted[:1] == b"\xe0" or (data[:1] == wanted[:1] == b" " and data[3] >= 0x80 and wanted[3] >= 0x80)
    return data == wanted or refused or (data[:1] == wanted[:1] == b" " and data[2:4] == wanted[2:4])


def play(broker: Running, test: dict[str, Any]) -> str:
    """What went other than the vector says, or nothing."""
    with raw(broker) as client:
        if test.get("connect", True):
            client.connect("stranger", b"")
        for number, message in enumerate(test["msgs"]):
            if message["type"] == "publish":
                with raw(broker) as helper:
                    helper.connect("helper", b"")
                    helper.publish(message["topic"], message["payload"].encode(), message["qos"])
            elif message["type"] == "send":
                client.send(bytes.fromhex(message["payload"]))
            else:
                try:
                    found = client.receive(2)
                except TimeoutError:
                    found = "nothing"
                if not alike(found, bytes.fromhex(message["payload"])):
                    return f"message {number}: {found} instead of {message['payload']}"
        alive = isinstance(client.ping() if client.receive_nothing() else None, mqtt5.PingRespPacket)
        return "" if alive != test.get("expect_disconnect", True) else "still connected" if alive else "disconnected"


@pytest.mark.parametrize("file", FILES.split())
def test_the_demo_broker_answers_mosquittos_vectors_as_mosquitto_does(open_broker: Running, file: str):
    try:
        groups = strangers.document(f"mqtt/{file}.json")
    except unittest.SkipTest as absent:
        pytest.skip(str(absent))
    tests = [test for group in groups if group["group"].startswith("v5") for test in group["tests"]]
    assert tests
    wrong, other = [], 0
    for test in tests:
        if other_on_purpose(test):
            other += 1
            with contextlib.suppress(ValueError):
                play(open_broker, test)
        elif problem := play(open_broker, test):
            wrong.append(f"{test['name']}: {problem}")
    assert not wrong
    assert other < len(tests) or file in ("PUBREC", "PUBREL", "PUBCOMP")


def good_packets() -> list[bytes]:
    will = mqtt5.Will("a/b", payload=b"0", qos=QoS.AT_LEAST_ONCE, content_type="x", user_properties=[("a", "b")])
    told = [("a", "b")]
    return [
        mqtt5.ConnectPacket(
            "lp-bravo", username="lp-bravo", password=b"x", will=will, receive_max=4, user_properties=told
        ).write(),
        mqtt5.PublishPacket("a/b", b"zz", qos=QoS.AT_LEAST_ONCE, packet_id=4, response_topic="z", user_properties=told).write(),
        mqtt5.PublishPacket("latchpin/1/lp-bravo/hello", b"zz", message_expiry_interval=4, correlation_data=b"1").write(),
        mqtt5.SubscribePacket(3, [mqtt5.TopicFilter("a/+"), mqtt5.TopicFilter("b/#")], subscription_id=3).write(),
        mqtt5.UnsubscribePacket(3, ["a", "$share/g/b"], user_properties=told).write(),
        mqtt5.PubAckPacket(4, reason_str="x", user_properties=told).write(),
        mqtt5.DisconnectPacket(reason_str="x", session_expiry_interval=3).write(),
        mqtt5.PingReqPacket().write(),
        mqtt5.AuthPacket(authentication_method="z", authentication_data=b"a").write(),
    ]


def spoilt(chance: random.Random, seeds: list[bytes]) -> bytes:
    """A packet with a few bytes changed, lost or added; four times of five its length is right again."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        action = chance.random()
        if action < 0.6:
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xC3, 0xFF, chance.randrange(256)))
        elif action < 0.8 and len(data) > 3:
            del data[place]
        else:
            data.insert(place, chance.randrange(256))
    if chance.random() < 0.8:
        return packet(data[0], bytes(data[2:]))
    return bytes(data)


def test_twenty_thousand_spoilt_packets_are_read_or_refused_and_nothing_else(capfd: pytest.CaptureFixture[str]):
    chance, seeds, refused = random.Random(20261123), good_packets(), 0
    for _ in range(20_000):
        view = memoryview(spoilt(chance, seeds))
        try:
            if found := frame(view, 0):
                decoded(view[: found[1]], found[0])
        except Refused:
            refused += 1
    assert 10_000 < refused < 20_000
    assert "panic" not in capfd.readouterr().err, "nothing may reach the codec that makes it panic"


def test_good_packets_are_read():
    for data in good_packets()[:-1]:
        view = memoryview(data)
        found = frame(view, 0)
        assert found and decoded(view[: found[1]], found[0])


def test_a_packet_is_found_whole_or_not_at_all():
    data = packet(0x30, text("a") + b"\0" + bytes(300))
    for length in range(len(data)):
        assert frame(memoryview(data)[:length], 0) is None
    assert frame(memoryview(data + b"next"), 0) == (3, len(data))
    for bad in (packet(0x30, bytes(MAX_PACKET)), b"\x30\xff\xff\xff\xff", b"\x30\x80\x80\x80\x80\x01"):
        with pytest.raises(Refused):
            frame(memoryview(bad), 0)


def test_the_demo_broker_outlives_spoilt_packets_and_serves_others_meanwhile(demo_broker: Running):
    chance, seeds = random.Random(7), good_packets()[1:]
    with raw(demo_broker) as healthy:
        healthy.connect("lp-alpha", password("lp-alpha"))
        for _ in range(150):
            with raw(demo_broker) as client:
                if chance.random() < 0.7:
                    client.connect("lp-bravo", password("lp-bravo"))
                _send_quietly(client, b"".join(spoilt(chance, seeds) for _ in range(20)))
            assert isinstance(healthy.ping(), mqtt5.PingRespPacket)
    for _ in range(20):
        with raw(demo_broker) as client:
            _send_quietly(client, chance.randbytes(5000))


def _send_quietly(client: Raw, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.send(data)


def test_bytes_that_come_one_by_one_are_as_good(demo_broker: Running):
    with raw(demo_broker) as client:
        connect = mqtt5.ConnectPacket("lp-bravo", username="lp-bravo", password=password("lp-bravo").encode(), clean_start=True)
        for byte in connect.write():
            client.send(bytes((byte,)))
        assert client.receive().reason_code == mqtt5.ConnAckReasonCode.SUCCESS


def test_many_packets_in_one_write_are_answered_in_order(demo_broker: Running):
    with raw(demo_broker) as client:
        client.connect("lp-bravo", password("lp-bravo"))
        publish = [mqtt5.PublishPacket("latchpin/1/lp-bravo/hello", b"x", qos=QoS.AT_LEAST_ONCE, packet_id=n) for n in (5, 3, 9)]
        client.send(*publish, mqtt5.PingReqPacket())
        assert [client.receive().packet_id for _ in publish] == [5, 3, 9]
        assert isinstance(client.receive(), mqtt5.PingRespPacket)


def test_an_mqtt_3_1_1_client_is_told_in_its_own_words(demo_broker: Running):
    for version, wanted in ((4, bytes((0x20, 2, 0, 1))), (6, bytes((0x20, 3, 0, 0x84, 0)))):
        with raw(demo_broker) as client:
            client.send(packet(0x10, text("MQTT") + bytes((version, 2, 0, 10)) + text("lp-bravo")))
            assert client.socket.recv(100) == wanted
            assert client.socket.recv(100) == b""


def test_what_comes_before_connect_ends_the_connection(demo_broker: Running):
    for data in good_packets()[1:]:
        with raw(demo_broker) as client:
            client.send(data)
            assert client.receive() is None


def test_a_second_connect_is_a_protocol_error(demo_broker: Running):
    with raw(demo_broker) as client:
        client.connect("lp-bravo", password("lp-bravo"))
        told = client.connect("lp-bravo", password("lp-bravo"))
        assert told.reason_code == mqtt5.DisconnectReasonCode.PROTOCOL_ERROR
