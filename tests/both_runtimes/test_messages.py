"""Messages on both Pythons: golden bytes, what is refused, what never prints, and what fits into which frame.

Not the whole law: tests/house_rules/test_cddl.py holds messages.py to messages.cddl, with strangers' validators.
"""

import message_table
from message_table import FIELDS, KEYS, MESSAGES, SECRET

from latchpin.wire import bridge_side, cbor, messages, session
from latchpin.wire.bridge_side import CODES, NUMBERS
from latchpin.wire.errors import ContractError, PeerError
from latchpin.wire.messages import Message, pack, unpack

RID = bytes(range(8))

# Written by hand from messages.cddl: name, fields, bytes.
GOLDEN = (
    ("DISCOVER", {"rid": RID, "resource": 0}, "a3000101480001020304050607" + "0400"),
    ("CHALLENGE", {"rid": RID, "resource": 1, "scope": 2, "auth_session": "s", "answers": {"pin": "123456789"}},
     "a6000201480001020304050607" + "0401" + "0502" + "076173" + "08a16370696e69313233343536373839"),
    ("PROMPT",
     {"rid": RID, "now": 1790000000, "auth_session": "s", "tries_left": 5, "ttl_s": 600, "binding_word": "amber fox",
      "inputs": [{"name": "pin", "kind": 0, "min": 9, "max": 9, "check": 1, "label": "PIN", "choices": ["a"]}]},
     "a8001101480001020304050607" + "021a6ab13b80" + "076173" + "181e81a7006370696e010002090309040105635049" + "4e06816161"
     + "182005" + "1821190258" + "182269616d62657220666f78"),
    ("ERROR", {"rid": RID, "now": 0, "error": NUMBERS["locked"], "retry_after_s": 60},
     "a5001601480001020304050607" + "0200" + "182a03" + "182b183c"),
    ("REPORT", {"rid": RID, "event": 1, "firmware": "0.1"}, "a4000701480001020304050607" + "1501" + "1663302e31"),
    ("OFFER",
     {"rid": RID, "now": 1, "dpop_nonce": "n", "issuer": "i", "token_endpoint": "t", "resource_uri": "r", "dpop_supported": True},
     "a8001001480001020304050607" + "0201" + "03616e" + "176169" + "18196174" + "181c6172" + "181df5"),
)  # fmt: skip

CANARY = "canary-7f3k2m"


def raises(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return True
    return False


def whole(number):
    """The smallest message of a type, as its wire map."""
    wire = {0: number, 1: RID}
    if number >= 16:
        wire[2] = 0
    for key in MESSAGES[number][1]:
        wire[key] = smallest(key)
    return wire


def smallest(key):
    kind = FIELDS[key][1] & ~SECRET
    if key == KEYS["error"]:
        return 1
    if key == KEYS["rid"]:
        return RID
    return (0, "", b"", False, {"pin": ""}, [])[kind]


def test_golden_bytes_are_packed_and_unpacked():
    for name, fields, encoded in GOLDEN:
        encoded = bytes.fromhex(encoded)
        assert pack(Message(name, fields)) == encoded, name
        assert unpack(encoded) == Message(name, fields), name


def test_every_message_needs_each_field_that_it_must_carry():
    for number in MESSAGES:
        wire = whole(number)
        assert unpack(cbor.encode(wire)).name == MESSAGES[number][0]
        for key in wire:
            assert raises(PeerError, unpack, cbor.encode({other: wire[other] for other in wire if other != key}))


def test_no_message_carries_a_field_that_is_not_its_own():
    for number in MESSAGES:
        wire = whole(number)
        _, required, optional = MESSAGES[number]
        own = set(required + optional + (b"\x00\x01\x02\x03" if number >= 16 else b"\x00\x01"))
        foreign = [45, 255, 256, -1, "rid", "x", ""]
        for key in list(FIELDS) + foreign:
            wire = whole(number)
            if key not in wire:
                wire[key] = smallest(key) if key in FIELDS else 0
                assert raises(PeerError, unpack, cbor.encode(wire)) != (key in own), (number, key)


def test_a_value_of_another_type_or_beyond_its_limit_is_refused():
    others = (None, True, -1, 1 << 53, b"", "", [], {}, "x" * 3500, b"x" * 3500, [0] * 9, [{}], [{0: "pin"}], {"a": 0}, {0: "a"})
    for number in MESSAGES:
        wire = whole(number)
        for key in wire:
            for other in others:
                spoilt = whole(number)
                spoilt[key] = other
                kind = (FIELDS[key][1] & ~SECRET) if key else None
                fits = (
                    (kind == message_table.TEXT and other == "")
                    or (kind == message_table.BYTES and key != KEYS["rid"] and other == b"")
                    or (kind == message_table.BOOL and other is True)
                    or (kind == message_table.INPUTS and other == [] and isinstance(other, list))
                )
                assert raises(PeerError, unpack, cbor.encode(spoilt)) != bool(fits), (number, key)


def test_the_edges_of_answers_inputs_and_choices_hold():
    def challenge(answers):
        return {0: 2, 1: RID, 4: 0, 5: 0, 8: answers}

    def prompt(*inputs):
        return {0: 17, 1: RID, 2: 0, 7: "", 30: list(inputs)}

    pin = {0: "pin", 1: 0}
    for wire in (
        challenge({"a" * 32: "x" * 64}), challenge({str(n): "" for n in range(8)}), prompt(), prompt(*[pin] * 8),
        prompt({0: "a" * 32, 1: 4, 2: 64, 3: 64, 4: 1, 5: "l" * 40, 6: ["c" * 40] * 8}), prompt({0: "", 1: 3, 6: [""]}),
    ):  # fmt: skip
        assert not raises(PeerError, unpack, cbor.encode(wire))
    for wire in (
        challenge({}), challenge({str(n): "" for n in range(9)}), challenge({"a" * 33: ""}), challenge({"a": "x" * 65}),
        challenge({"a": "\u00e9" * 33}), challenge({1: ""}), challenge({"a": 1}), challenge({"a": b""}), prompt(*[pin] * 9),
        prompt({0: "pin"}), prompt({1: 0}), prompt([]), prompt("pin"), prompt({0: "pin", 1: 5}), prompt({0: "pin", 1: 0, 2: 65}),
        prompt({0: "pin", 1: 0, 4: 2}),
        prompt({0: "pin", 1: 0, 5: "l" * 41}), prompt({0: "pin", 1: 0, 6: []}), prompt({0: "pin", 1: 0, 6: [""] * 9}),
        prompt({0: "pin", 1: 0, 6: ["c" * 41]}), prompt({0: "pin", 1: 0, 6: [1]}), prompt({0: "pin", 1: 0, 7: 0}),
        prompt({0: "pin", 1: 0, "x": 0}), prompt({0: 1, 1: 0}),
    ):  # fmt: skip
        assert raises(PeerError, unpack, cbor.encode(wire)), wire


def test_a_code_outside_the_closed_list_is_refused():
    for number in range(-1, 20):
        encoded = cbor.encode({0: 22, 1: RID, 2: 0, 42: number})
        assert raises(PeerError, unpack, encoded) != (number in CODES)


def test_what_is_no_map_with_a_known_type_is_refused():
    for value in (None, 0, b"", "", [], [0], {}, {1: RID}, {0: 0, 1: RID}, {0: 8, 1: RID}, {0: 15, 1: RID}, {0: 23, 1: RID, 2: 0},
                  {0: "1", 1: RID}, {0: True, 1: RID, 4: 0}, {0: -1, 1: RID}, {0: None}, {0: [1], 1: RID, 4: 0}):  # fmt: skip
        assert raises(PeerError, unpack, cbor.encode(value))
    for data in (b"", b"\xff", b"\xa3", pack(Message(*GOLDEN[0][:2])) + b"\x00", pack(Message(*GOLDEN[0][:2]))[:-1]):
        assert raises(PeerError, unpack, data)


def test_a_bit_flipped_in_a_message_gives_another_message_or_a_peer_error_and_nothing_else():
    for _, _, encoded in GOLDEN:
        encoded = bytes.fromhex(encoded)
        for at in range(len(encoded)):
            for bit in range(8):
                flipped = bytearray(encoded)
                flipped[at] ^= 1 << bit
                if not raises(PeerError, unpack, bytes(flipped)):
                    assert pack(unpack(bytes(flipped))) == bytes(flipped)


def test_packing_what_would_not_be_unpacked_is_our_own_defect():
    for name, fields in (
        ("NOTHING", {"rid": RID}), ("DISCOVER", {"rid": RID}), ("DISCOVER", {"resource": 0}),
        ("DISCOVER", {"rid": b"", "resource": 0}),
        ("DISCOVER", {"rid": RID, "resource": 256}), ("DISCOVER", {"rid": RID, "resource": 0, "now": 0}),
        ("DISCOVER", {"rid": RID, "resource": 0, "nothing": 0}), ("DISCOVER", {"rid": RID, "resource": True}),
        ("PROMPT", {"rid": RID, "now": 0, "auth_session": "s", "inputs": [{"name": "pin"}]}),
        ("PROMPT", {"rid": RID, "now": 0, "auth_session": "s", "inputs": [{"name": "pin", "kind": 0, "colour": 1}]}),
        ("PROMPT", {"rid": RID, "now": 0, "auth_session": "s", "inputs": 7}),
        ("PROMPT", {"rid": RID, "now": 0, "auth_session": "s", "inputs": ["pin"]}),
        ("ERROR", {"rid": RID, "now": 0, "error": 0}), ("ERROR", {"rid": RID, "now": 0, "error": 16}),
        ("ERROR", {"rid": RID, "error": 1}),
    ):  # fmt: skip
        assert raises(ContractError, pack, Message(name, fields)), (name, fields)


def test_two_messages_are_equal_where_name_and_fields_are():
    one = Message("DISCOVER", {"rid": RID, "resource": 0})
    assert one == Message("DISCOVER", {"rid": RID, "resource": 0})
    for other in (Message("DISCOVER", {"rid": RID, "resource": 1}), Message("REPORT", {"rid": RID, "resource": 0}), None):
        assert one != other


def test_what_others_ask_of_the_table_is_what_the_table_says():
    assert messages.RID_BYTES == bridge_side.limit("rid") == len(RID)
    for key, (name, kind, limit) in FIELDS.items():
        assert bridge_side.limit(name) == limit, key
        assert bridge_side.is_secret(name) == bool(kind & SECRET), key


def test_requests_and_replies_are_told_apart_by_their_number():
    for number, (name, _, _) in MESSAGES.items():
        assert bridge_side.is_request(Message(name, {})) == (number < 16)


def test_rule_7_every_reply_carries_now():
    for number, (name, _, _) in MESSAGES.items():
        if number >= 16:
            wire = whole(number)
            assert unpack(cbor.encode(wire))["now"] == 0, name
            del wire[KEYS["now"]]
            assert raises(PeerError, unpack, cbor.encode(wire)), name


def test_rule_3_every_request_carries_a_rid_of_8_bytes():
    for number in MESSAGES:
        for rid in (b"", bytes(7), bytes(9), "8 letter"):
            wire = whole(number)
            wire[KEYS["rid"]] = rid
            assert raises(PeerError, unpack, cbor.encode(wire)), number


def test_a_message_prints_no_secret():
    hidden = set()
    for key, (name, kind, _) in FIELDS.items():
        if key and kind & SECRET:
            value = {"pin": CANARY} if name == "answers" else CANARY.encode() if name == "body" else CANARY
            message = Message("CHALLENGE", {"rid": RID, name: value})
            shown = bridge_side.shown(message)
            assert CANARY not in shown + repr(message) + str(message)
            assert name + "=***" in shown
            hidden.add(name)
    assert hidden == {
        "dpop", "auth_session", "answers", "code", "code_verifier", "refresh_token", "device_code", "token", "body",
        "access_token", "mcp_session",
    }  # fmt: skip
    assert "resource=3" in bridge_side.shown(Message("DISCOVER", {"rid": RID, "resource": 3}))


def test_an_error_text_quotes_nothing_from_outside():
    for wire in ({0: 2, 1: RID, 4: 0, 5: 0, 8: {CANARY: CANARY * 9}}, {0: 2, CANARY: CANARY}, {0: 1, 1: RID, 4: CANARY}):
        try:
            unpack(cbor.encode(wire))
        except PeerError as error:
            assert CANARY not in str(error) and CANARY not in repr(error)
        else:
            raise AssertionError("accepted")
    try:
        pack(Message("DISCOVER", {"rid": RID, "resource": CANARY}))
    except ContractError as error:
        assert CANARY not in str(error)


def test_an_answered_challenge_is_as_long_on_the_wire_as_one_that_only_asks():
    # A PIN frame must look like any other: both are CHALLENGE with a DPoP proof, one has the PIN in it.
    fields = {"rid": RID, "resource": 0, "scope": 0, "dpop": "x" * 400, "auth_session": "y" * 43}
    asking = pack(Message("CHALLENGE", fields))
    fields["answers"] = {"pin": "123456789"}
    answering = pack(Message("CHALLENGE", fields))
    lengths = []
    for plaintext in (asking, answering):
        one = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", "lp-7f3k2m", "device")
        lengths.append(len(one.seal(plaintext)[0]))
    assert len(asking) != len(answering) and lengths == [1024, 1024]


def test_every_smallest_message_fits_into_a_frame():
    for number in MESSAGES:
        one = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", "lp-7f3k2m", "device")
        assert len(one.seal(cbor.encode(whole(number)))[0]) <= 256
