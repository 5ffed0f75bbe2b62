"""The four topics: built from good ids only, parsed back to what they were built from, and nothing else is taken for one.

Not for the broker's access rules: those are tested against brokers.
"""

from latchpin.wire import bridge_side, topics
from latchpin.wire.errors import ContractError

GOOD = ("lp-7f3k2m", "abcd", "0000", "a--b", "a" * 23, "z-9" + "x" * 19 + "0")
BAD = (
    "",
    "a",
    "abc",
    "a" * 24,
    "-abc",
    "abc-",
    "----",
    "ABCD",
    "Abcd",
    "ab cd",
    "ab+d",
    "+",
    "#",
    "ab#d",
    "ab/cd",
    "/abcd",
    "abcd/",
    "$sys",
    "ab$d",
    "ab\x00d",
    "abc\x00",
    "ab\nd",
    "abcd\n",
    "ab.d",
    "ab_d",
    "\u00e4bcd",
    "abc\u0663",
    "abc\uff11",
    "abc\u212a",
)


def refused(build, *ids):
    try:
        build(*ids)
    except ContractError as error:
        return str(error)
    return ""


def test_topics_are_those_of_the_contract():
    assert topics.topic("lp-7f3k2m", "hello") == "latchpin/1/lp-7f3k2m/hello"
    assert topics.topic("lp-7f3k2m", "up", "replica-1") == "latchpin/1/lp-7f3k2m/up/replica-1"
    assert topics.topic("lp-7f3k2m", "down") == "latchpin/1/lp-7f3k2m/down"
    assert topics.topic("lp-7f3k2m", "state") == "latchpin/1/lp-7f3k2m/state"
    assert bridge_side.SHARED_HELLO == "$share/latchpin/latchpin/1/+/hello"
    assert bridge_side.replica_filter("replica-1") == "latchpin/1/+/up/replica-1"


def test_what_is_built_is_parsed_back():
    for device in GOOD:
        assert bridge_side.parse(topics.topic(device, "hello")) == (device, bridge_side.HELLO, None)
        assert bridge_side.parse(topics.topic(device, "down")) == (device, bridge_side.DOWN, None)
        assert bridge_side.parse(topics.topic(device, "state")) == (device, bridge_side.STATE, None)
        for replica in GOOD:
            assert bridge_side.parse(topics.topic(device, "up", replica)) == (device, bridge_side.UP, replica)


def test_no_topic_is_built_from_a_bad_id_and_no_refusal_quotes_it():
    for device in BAD:
        assert not topics.is_id(device), device
        for kind in ("hello", "down", "state"):
            assert refused(topics.topic, device, kind) == "device", device
        assert refused(bridge_side.replica_filter, device) == "replica", device
        assert refused(bridge_side.down, device) == "device", device
        assert refused(topics.topic, device, "up", "replica-1") == "device", device
        assert refused(topics.topic, "lp-7f3k2m", "up", device) == "replica", device


def test_no_topic_with_a_bad_id_is_parsed():
    for device in BAD:
        for kind in ("hello", "down", "state", "up/replica-1"):
            assert bridge_side.parse("latchpin/1/" + device + "/" + kind) is None, device
        assert bridge_side.parse("latchpin/1/lp-7f3k2m/up/" + device) is None, device


def test_any_other_text_is_no_topic_of_ours():
    for text in (
        "",
        "/",
        "latchpin",
        "latchpin/1",
        "latchpin/1/lp-7f3k2m",
        "latchpin/1/lp-7f3k2m/",
        "latchpin/1/lp-7f3k2m/up",
        "latchpin/1/lp-7f3k2m/up/",
        "latchpin/1/lp-7f3k2m/hello/",
        "latchpin/1/lp-7f3k2m/hello/replica-1",
        "latchpin/1/lp-7f3k2m/down/replica-1",
        "latchpin/1/lp-7f3k2m/state/x",
        "latchpin/1/lp-7f3k2m/up/replica-1/x",
        "latchpin/1/lp-7f3k2m/Hello",
        "latchpin/1/lp-7f3k2m/other",
        "latchpin/2/lp-7f3k2m/hello",
        "Latchpin/1/lp-7f3k2m/hello",
        "/latchpin/1/lp-7f3k2m/hello",
        "latchpin/1/lp-7f3k2m/hello\x00",
        "$share/latchpin/latchpin/1/lp-7f3k2m/hello",
        "$SYS/broker/uptime",
        "latchpin/1/+/hello",
        "latchpin/1/#",
        "a/" * 5000,
    ):
        assert bridge_side.parse(text) is None, text
