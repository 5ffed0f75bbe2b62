"""No device reads or writes for another one: a thousand hostile filters, topics and names, on both brokers (G13).

Not about what the frames hold: a broker that failed here would still carry only ciphertext.
"""

import contextlib
import itertools
from collections.abc import Iterator

import mqtt5
import pytest
from mqtt5 import ConnAckReasonCode, PubAckReasonCode, SubAckReasonCode

from tests.brokers.clients import Paho, Raw, raw
from tests.brokers.conftest import password
from tests.brokers.running import Running

VICTIM, ATTACKER = "lp-alpha", "lp-bravo"
OWN = f"latchpin/1/{ATTACKER}/down"
VICTIMS = tuple(f"latchpin/1/{VICTIM}/{rest}" for rest in ("hello", "up/r001", "down", "state"))
SHARES = ("", "$share/latchpin/", "$share/x/")
OTHER_NAMES = ("%u", "%c", "..", f"{ATTACKER}/../{VICTIM}", f"{VICTIM} ", f"\u200b{VICTIM}")


BENDS = ("/", "$", " ", "%", ".", "\\", "'", "\u00ad", "\u200b", "\u202e", "\ufeff", "\u0301")  # what a filter may hold
SHARP = ("+", "#", "\0")  # and what no name may


def bent(name: str, marks: tuple[str, ...]) -> list[str]:
    """`name` with each mark before, between and behind its characters."""
    return [name[:place] + mark + name[place:] for mark in marks for place in range(len(name) + 1)]


def misspelt(topic: str) -> set[str]:
    return {"/" + topic, topic + "/", topic.replace("/", "//"), topic.upper(), topic.title(), topic.replace("l", "\u217c")}


def hostile_filters() -> list[str]:
    """Every way to put wildcards into the victim's topics, and spellings that a careless matcher takes for them."""
    found = {"#", "+", "/#", "+/#", "+/+/+/+", "+/+/+/+/+", "$SYS/#", "$SYS/broker/#", "latchpin/#", "latchpin/+/#"}
    for topic in VICTIMS:
        levels = topic.split("/")
        for mask in itertools.product((False, True), repeat=len(levels)):
            found.add("/".join("+" if masked else level for masked, level in zip(mask, levels, strict=True)))
        found |= {"/".join((*levels[:length], "#")) for length in range(len(levels) + 1)}
        found |= misspelt(topic) | {topic + "/#", topic + "/+"}
        found |= {topic.replace(VICTIM, other) for other in OTHER_NAMES}
    found |= {f"latchpin/1/{name}/down" for name in bent(VICTIM, BENDS)}
    return sorted(share + pattern for share in SHARES for pattern in found if not (share and pattern.startswith("$")))


MALFORMED_FILTERS = (
    *("", "\0", "#/a", "a/#/b", "latchpin/#x", "latchpin/1/+x/down", f"latchpin/1/{VICTIM}/down\0"),
    *(f"latchpin/1/{VICTIM}\udcff/down", "\udced\udca0\udc80", "##", "++", "+a", "a+", "#+", "$share/+/#", "$share//#"),
)


def hostile_topics() -> list[str]:
    """The victim's topics, and spellings that a careless broker would deliver there."""
    found = set(VICTIMS) | {f"latchpin/1/{name}/down" for name in (ATTACKER, "lp-carol", "bridge", "+", "#", "%u", "")}
    for topic in VICTIMS:
        found |= misspelt(topic) | {topic + "/x", topic + "\0", "$share/latchpin/" + topic, "$SYS/" + topic}
        found |= {topic.replace(VICTIM, other) for other in (*OTHER_NAMES, "+", "#", f"{VICTIM}\0", "\udcff")}
        for root in ("", "/", "1/", "latchpin/", "latchpin/2/", "LATCHPIN/1/", "$share/x/"):
            found.add(topic.replace("latchpin/1/", root))
    found |= {f"latchpin/1/{name}/hello" for name in bent(VICTIM, BENDS + SHARP)}
    own = ("up", "up/a/b", "up/+", "hello/x", "Hello", "state/x", "", "down/x")
    return sorted(found | {f"latchpin/1/{ATTACKER}/{rest}" for rest in own})


@pytest.fixture
def attacker(broker: Running) -> Iterator[Raw]:
    with raw(broker) as client:
        assert client.connect(ATTACKER, password(ATTACKER)).reason_code == ConnAckReasonCode.SUCCESS
        yield client


def everything(client: Raw, last: bytes) -> list[mqtt5.PublishPacket]:
    """All PUBLISH until the one with payload `last`, acknowledged."""
    found = []
    while True:
        packet = client.receive()
        assert packet is not None
        if isinstance(packet, mqtt5.PublishPacket):
            if packet.packet_id:
                client.acknowledge(packet)
            if packet.payload == last:
                return found
            found.append(packet)


def spelt_names() -> list[str]:
    spellings = ("", "+", "#", "%u", "$share", "a/b", "x" * 24, "x" * 4000, f"{VICTIM}/../{ATTACKER}", "lp-none", ATTACKER + "\0")
    likeness = (VICTIM + "\0", VICTIM.upper(), f"\u200b{VICTIM}", f"{VICTIM} ", f" {VICTIM}", f"{VICTIM}\n", f"{VICTIM}:")
    return ["bridge", "bridge-2", VICTIM, *spellings, *likeness]


def hostile_names() -> list[str]:
    return [*dict.fromkeys((*spelt_names(), *bent(VICTIM, BENDS + SHARP)))]


def test_there_are_a_thousand_of_them():
    assert len({*hostile_filters(), *MALFORMED_FILTERS}) + len({*hostile_topics()}) + len(hostile_names()) >= 1000


def test_no_filter_lets_a_device_read_what_is_not_its_own(broker: Running, bridge: Paho, alpha: Paho, attacker: Raw):
    for pattern in hostile_filters():
        answer = attacker.subscribe(pattern)
        if broker.kind == "embedded":
            assert answer.reason_codes == [SubAckReasonCode.NOT_AUTHORIZED], pattern
        else:
            assert isinstance(answer, mqtt5.SubAckPacket), pattern
    for number in range(5):
        assert alpha.publish(f"latchpin/1/{VICTIM}/hello", b"hello %d" % number) == 0
        assert alpha.publish(f"latchpin/1/{VICTIM}/up/r001", b"up %d" % number) == 0
        assert alpha.publish(f"latchpin/1/{VICTIM}/state", b"1", retain=True) == 0
        assert bridge.publish(f"latchpin/1/{VICTIM}/down", b"secret %d" % number) == 0
    assert alpha.payloads_until(b"secret 4") == [b"secret %d" % number for number in range(4)]
    assert isinstance(attacker.subscribe(OWN), mqtt5.SubAckPacket)
    bridge.publish(OWN, b"last")
    assert {packet.topic for packet in everything(attacker, b"last")} <= {OWN}


@pytest.mark.parametrize("pattern", MALFORMED_FILTERS, ids=repr)
def test_a_malformed_filter_ends_the_connection(broker: Running, attacker: Raw, pattern: str):
    answer = attacker.subscribe(pattern)
    refused = answer is None or isinstance(answer, mqtt5.DisconnectPacket)
    assert refused or (broker.kind == "mosquitto" and pattern.startswith("$share/")), "mosquitto 2.0.11 takes these share names"


def test_no_topic_lets_a_device_write_as_another_or_as_the_bridge(broker: Running, bridge: Paho, alpha: Paho):
    with contextlib.ExitStack() as stack:

        def enter() -> Raw:
            client = stack.enter_context(raw(broker))
            assert client.connect(ATTACKER, password(ATTACKER)).reason_code == ConnAckReasonCode.SUCCESS
            return client

        client = enter()
        for topic, qos, retain in itertools.product(hostile_topics(), (0, 1), (False, True)):
            answer = client.publish(topic, b"forged", qos, retain)
            if qos == 1 and isinstance(answer, mqtt5.PubAckPacket):
                assert answer.reason_code == PubAckReasonCode.NOT_AUTHORIZED, topic
            elif qos == 1 or not isinstance(client.ping(), mqtt5.PingRespPacket):
                client = enter()
        assert isinstance(client.publish(f"latchpin/1/{ATTACKER}/hello", b"last"), mqtt5.PubAckPacket)
    own = {f"latchpin/1/{ATTACKER}/{rest}" for rest in ("hello", "state", "up/r001")}
    assert {message.topic for message in bridge.messages_until(b"last")} <= own | {f"latchpin/1/{VICTIM}/state"}
    assert bridge.publish(f"latchpin/1/{VICTIM}/down", b"last") == 0
    assert alpha.payloads_until(b"last") == []
    later = Paho(broker, "bridge-2", broker.bridge_password)
    assert later.subscribe("latchpin/1/+/state") == 1
    assert later.subscribe("latchpin/1/+/up/+") == 1
    assert alpha.publish(f"latchpin/1/{VICTIM}/up/r002", b"end") == 0
    assert b"forged" not in later.payloads_until(b"end"), "nothing forged was retained"
    later.close()


def test_a_name_and_its_password_give_no_other_name(broker: Running, alpha: Paho, bridge: Paho):
    right, wrong = password(ATTACKER), ("", "\0", "x" * 2000, password(ATTACKER) + "\0")
    for name, secret in (*((name, right) for name in hostile_names()), *itertools.product(spelt_names(), wrong)):
        with raw(broker) as client:
            answer = client.connect(name, secret)
            assert answer is None or answer.reason_code != ConnAckReasonCode.SUCCESS, name
    for client_id in hostile_names():
        with raw(broker) as client:
            answer = client.connect(ATTACKER, password(ATTACKER), client_id=client_id)
            if broker.kind == "embedded":
                assert answer is None or answer.reason_code != ConnAckReasonCode.SUCCESS, client_id
            elif answer is not None and answer.reason_code == ConnAckReasonCode.SUCCESS:
                assert isinstance(client.subscribe(f"latchpin/1/{VICTIM}/down"), mqtt5.SubAckPacket)
                assert bridge.publish(f"latchpin/1/{VICTIM}/down", b"for alpha") == 0
                assert alpha.payload() == b"for alpha"
                assert isinstance(client.receive_or_ping(), mqtt5.PingRespPacket)
    assert bridge.publish(f"latchpin/1/{VICTIM}/down", b"still there") == 0
    assert alpha.payload() == b"still there"


def test_a_bridge_reads_and_writes_nothing_beyond_its_table(broker: Running, alpha: Paho):
    with raw(broker) as client:
        assert client.connect("bridge-2", broker.bridge_password).reason_code == ConnAckReasonCode.SUCCESS
        for pattern in ("#", "latchpin/#", "latchpin/1/+/down", f"latchpin/1/{VICTIM}/down", "$SYS/#", "latchpin/1/+/+"):
            answer = client.subscribe(pattern)
            assert broker.kind == "mosquitto" or answer.reason_codes == [SubAckReasonCode.NOT_AUTHORIZED]
        for topic in (
            f"latchpin/1/{VICTIM}/hello",
            f"latchpin/1/{VICTIM}/state",
            f"latchpin/1/{VICTIM}/up/r001",
            "latchpin/1/down",
        ):
            assert client.publish(topic).reason_code == PubAckReasonCode.NOT_AUTHORIZED
        with raw(broker) as other:
            assert other.connect("bridge", broker.bridge_password).reason_code == ConnAckReasonCode.SUCCESS
            assert other.publish(f"latchpin/1/{VICTIM}/down", b"for alpha only").reason_code == PubAckReasonCode.SUCCESS
        assert alpha.payload() == b"for alpha only"
        assert isinstance(client.receive_or_ping(), mqtt5.PingRespPacket)


def test_a_will_cannot_speak_for_another(broker: Running, bridge: Paho):
    for topic in (*VICTIMS, "latchpin/1/+/state", "#", OWN):
        with raw(broker) as client, contextlib.suppress(ValueError):
            will = mqtt5.Will(topic, payload=b"forged", qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True)
            answer = client.connect(ATTACKER, password(ATTACKER), will=will)
            assert broker.kind == "mosquitto" or answer.reason_code == ConnAckReasonCode.NOT_AUTHORIZED
    with raw(broker) as client:
        assert client.connect(ATTACKER, password(ATTACKER)).reason_code == ConnAckReasonCode.SUCCESS
        assert client.publish(f"latchpin/1/{ATTACKER}/hello", b"last").reason_code == PubAckReasonCode.SUCCESS
    assert b"forged" not in bridge.payloads_until(b"last")
