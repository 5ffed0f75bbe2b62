"""messages.cddl is the law: the code's tables equal it in both directions, and a stranger's validator agrees with the code.

Not a CDDL library: the parser below reads the few forms that messages.cddl uses, and fails on any other.
By hand: `python -m tests.house_rules.test_cddl` prints the tables that wire/README.md must contain.
"""

import re
from pathlib import Path
from typing import Any

import pycddl
from cddl_verifier import Validator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from latchpin.crypto import p256
from latchpin.wire import bridge_side, cbor, edhoc, messages, session
from latchpin.wire.errors import ContractError, PeerError
from tests.both_runtimes import message_table as tables
from tests.both_runtimes.message_table import (
    ANSWERS,
    BOOL,
    BYTES,
    CHOICES,
    FIELDS,
    INPUT_FIELDS,
    INPUTS,
    MESSAGES,
    SECRET,
    TEXT,
    UINT,
)

ROOT = Path(__file__).resolve().parents[2]
WIRE = ROOT / "device" / "latchpin" / "wire"
CDDL = (WIRE / "messages.cddl").read_text()
README = (WIRE / "README.md").read_text()

RULE = re.compile(r"^([A-Za-z][A-Za-z0-9_-]*) *= *", re.MULTILINE)
MEMBER = re.compile(r"(\? )?(\d+): ([A-Za-z0-9_-]+)")
RANGE = re.compile(r"0\.\.(\d+)")
SIZE = re.compile(r"([tb]str) \.size \(0\.\.(\d+)\)")
MANY = re.compile(r"\[ ([01])\*(\d+) ([a-z-]+) \]")
NAMED = re.compile(r"([A-Za-z_]+): (\d+)")
FIELD_COMMENT = re.compile(r"^([A-Za-z_]+) = .*; (\d+)(, secret)?", re.MULTILINE)

SINGULAR = {"rid": ("bstr .size 8", BYTES, 8), "dpop_supported": ("bool", BOOL, 1)}

NUMBERED_FIELDS = {int(number): (name, bool(secret)) for name, number, secret in FIELD_COMMENT.findall(CDDL)}


def read_rules(text: str) -> dict[str, str]:
    """Each rule's right side, without comments, in one line."""
    text = re.sub(r";.*", "", text)
    heads = list(RULE.finditer(text))
    assert not text[: heads[0].start()].strip()
    ends = [head.start() for head in heads[1:]] + [len(text)]
    bodies = {head[1]: " ".join(text[head.end() : end].split()) for head, end in zip(heads, ends, strict=True)}
    assert len(bodies) == len(heads), "a rule stands twice"
    return bodies


RULES = read_rules(CDDL)


def members(body: str) -> list[tuple[bool, int, str]]:
    """(required, key, rule) of a map with integer keys."""
    assert body.startswith("{ ") and body.endswith(", }"), body
    found = []
    for part in body[2:-3].split(", "):
        member = MEMBER.fullmatch(part)
        assert member, part
        found.append((not member[1], int(member[2]), member[3]))
    assert [key for _, key, _ in found] == sorted({key for _, key, _ in found}), "keys in order, none twice"
    return found


def kind_and_limit(rule: str) -> tuple[int, int]:
    """What the table in messages.py must say of a rule."""
    body = RULES[rule]
    if rule in SINGULAR:
        assert body == SINGULAR[rule][0]
        return SINGULAR[rule][1:]
    if found := RANGE.fullmatch(body):
        return UINT, int(found[1])
    if found := SIZE.fullmatch(body):
        return (TEXT if found[1] == "tstr" else BYTES), int(found[2])
    if body.startswith("&("):
        return UINT, max(named(rule).values())
    if body in RULES and body.endswith("-code"):
        return kind_and_limit(body)
    if found := MANY.fullmatch(body):
        assert (found[1], found[3]) in (("0", "input"), ("1", "choice"))
        return (INPUTS if found[3] == "input" else CHOICES), int(found[2])
    found = re.fullmatch(r"\{ 1\*(\d+) input-name => answer \}", body)
    assert found, body
    return ANSWERS, int(found[1])


def named(rule: str) -> dict[str, int]:
    """The names and numbers of a choice from a group, `&( name: number, ... )`."""
    body = RULES[rule]
    found = re.fullmatch(r"&\( (.*?),? \)", body)
    assert found, body
    pairs = [NAMED.fullmatch(part) for part in found[1].split(", ")]
    assert all(pairs), body
    return {pair[1]: int(pair[2]) for pair in pairs if pair}


def choices(rule: str) -> list[str]:
    return RULES[rule].split(" / ")


def message_of(number: int) -> tuple[list[int], list[int]]:
    """Required and optional keys of a message as messages.py has them, what all messages share included."""
    _, required, optional = MESSAGES[number]
    reply = number >= 16
    return sorted([0, 1, *([2] if reply else []), *required]), sorted([*([3] if reply else []), *optional])


# The law and the tables.


def test_every_message_of_the_law_is_in_the_table_and_the_other_way_round():
    assert choices("plaintext") == ["request", "reply"]
    law = {}
    for direction, start in (("request", 0), ("reply", 16)):
        for name in choices(direction):
            found = members(RULES[name])
            assert found[0][:2] == (True, 0)
            number = int(found[0][2])
            assert start <= number < start + 16
            assert all(NUMBERED_FIELDS[key][0] == rule for _, key, rule in found[1:]), name
            law[number] = (name, [key for must, key, _ in found if must], [key for must, key, _ in found if not must])
    assert law == {number: (MESSAGES[number][0], *message_of(number)) for number in MESSAGES}


def test_every_field_of_the_law_is_in_the_table_and_the_other_way_round():
    law = {0: ("type", UINT, max(MESSAGES))}
    for number, (name, secret) in NUMBERED_FIELDS.items():
        kind, limit = kind_and_limit(name)
        law[number] = (name, kind | (SECRET if secret else 0), limit)
    assert law == FIELDS
    assert law[1][2] == messages.RID_BYTES


def test_every_member_of_an_input_is_in_the_table_and_the_other_way_round():
    found = members(RULES["input"])
    assert {key for must, key, _ in found if must} == {0, 1}
    law = {key: (rule.removeprefix("input-"), *kind_and_limit(rule)) for _, key, rule in found}
    assert law == INPUT_FIELDS
    assert list(named("input-kind").items()) == [(name, at) for at, name in enumerate(bridge_side.INPUT_KINDS)]
    assert list(named("input-check").items()) == [(name, at) for at, name in enumerate(bridge_side.CHECKS)]
    assert kind_and_limit("input-name") == (TEXT, messages._MAX_NAME)
    assert kind_and_limit("answer") == (TEXT, messages.MAX_ANSWER)
    assert kind_and_limit("choice") == (TEXT, bridge_side.MAX_CHOICE)


def test_error_codes_and_events_have_the_same_names_and_numbers_in_the_law_and_in_the_code():
    assert named("error-code") == bridge_side.NUMBERS
    assert {number: name for name, number in named("error-code").items()} == bridge_side.CODES
    assert "; 21, " + ", ".join(bridge_side.EVENTS) + ";" in CDDL


def test_the_limits_of_cbor_in_the_law_are_those_of_the_decoder():
    law = "at most {} containers deep, {} items in each, {:,} bytes; integers of at most 2^{}.".format(
        cbor.MAX_DEPTH, cbor.MAX_ITEMS, cbor.MAX_BYTES, cbor.MAX_INT.bit_length() - 1
    )
    assert law in " ".join(CDDL.replace("\n;", " ").split())


def test_ciphertexts_of_the_law_are_as_long_as_the_buckets_leave_room_for():
    for length in (1, 2):
        law = [f"bstr .size {session._room(bucket, bytes(length))}" for bucket in session.BUCKETS]
        assert choices(f"ciphertext-{length}") == law
    assert f"exactly {', '.join(map(str, session.BUCKETS[:-1]))} or {session.BUCKETS[-1]} bytes long" in CDDL


# The law and two strangers' validators. cddl-verifier is exact. pycddl is a third opinion on what is lawful, and none on what is
# not: 0.6 lets foreign map members pass, and matches no map key whose type has a control operator (hence the replacement).

EXACT = Validator(CDDL)
LAX = {
    root: pycddl.Schema(f"root = {root}\n" + CDDL.replace("input-name =>", "tstr =>"))
    for root in ("plaintext", "payload", "credential")
}


def lawful(encoded: bytes, root: str = "plaintext") -> bool:
    """What the law says of `encoded`, where both validators are asked."""
    exact = EXACT.validate(encoded, root_type=root).valid
    if exact and root in LAX:
        LAX[root].validate_cbor(encoded)
    return exact


def accepted(encoded: bytes) -> bool:
    try:
        messages.unpack(encoded)
    except PeerError:
        return False
    return True


def texts(limit: int) -> st.SearchStrategy[str]:
    # Short, as long as allowed, and as long as allowed in characters of two bytes.
    return st.one_of(st.text(max_size=min(limit // 4, 12)), st.just("x" * limit), st.just("\u00e9" * (limit // 2)))


def numbers(limit: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, limit), st.just(0), st.just(limit))


INPUT = st.fixed_dictionaries(
    {"name": texts(32), "kind": numbers(4)},
    optional={
        "min": numbers(64),
        "max": numbers(64),
        "check": numbers(1),
        "label": texts(40),
        "choices": st.lists(texts(40), min_size=1, max_size=8),
    },
)


def values(kind: int, limit: int) -> st.SearchStrategy[Any]:
    match kind & ~SECRET:
        case tables.UINT:
            return numbers(limit)
        case tables.TEXT:
            return texts(limit)
        case tables.BYTES:
            return st.one_of(st.binary(max_size=min(limit, 40)), st.just(bytes(limit)))
        case tables.BOOL:
            return st.booleans()
        case tables.ANSWERS:
            return st.dictionaries(texts(32), texts(messages.MAX_ANSWER), min_size=1, max_size=limit)
        case tables.INPUTS:
            return st.lists(INPUT, max_size=limit)
    raise AssertionError("a kind without values")


FIELD_VALUES = {key: values(kind, limit) for key, (_, kind, limit) in FIELDS.items()} | {
    1: st.binary(min_size=8, max_size=8),
    42: st.integers(1, 13),
}


@st.composite
def whole_messages(draw: st.DrawFn) -> messages.Message:
    number = draw(st.sampled_from(sorted(MESSAGES)))
    required, optional = message_of(number)
    keys = [key for key in required if key] + [key for key in optional if draw(st.booleans())]
    return messages.Message(MESSAGES[number][0], {FIELDS[key][0]: draw(FIELD_VALUES[key]) for key in keys})


MANY_EXAMPLES = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@MANY_EXAMPLES
@given(whole_messages())
def test_what_pack_makes_is_lawful_and_comes_back_the_same(message: messages.Message):
    encoded = messages.pack(message)
    assert lawful(encoded)
    assume(len(encoded) <= cbor.MAX_BYTES)
    assert messages.unpack(encoded) == message


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 700),
    st.sampled_from([1 << 31, (1 << 31) + 1, cbor.MAX_INT, -cbor.MAX_INT]),
    st.binary(max_size=10),
    st.text(max_size=10),
    st.just([]),
    st.just({}),
    st.just([1]),
    st.just({0: "pin", 1: 0}),
    st.just([{0: "pin", 1: 0}]),
    st.just({"pin": "1"}),
    st.just({1: "1"}),
)
KEYS = st.one_of(st.integers(-2, 48), st.sampled_from(sorted(FIELDS)), st.just(255), st.just(256), st.text(max_size=3))


def just_over(kind: int, limit: int) -> Any:
    match kind & ~SECRET:
        case tables.UINT:
            return limit + 1
        case tables.TEXT:
            return "x" * (limit + 1)
        case tables.BYTES:
            return bytes(limit + 1)
        case tables.BOOL:
            return 2
        case tables.ANSWERS:
            return {str(number): "" for number in range(limit + 1)}
        case tables.INPUTS:
            return [{0: "pin", 1: 0}] * (limit + 1)
    return [""] * (limit + 1)


def spoil(draw: st.DrawFn, table: dict[int, tuple[str, int, int]], wire: dict[Any, Any]) -> None:
    """One change to a map that may make it unlawful."""
    how = draw(st.sampled_from(["drop", "add", "wrong", "over"]))
    key = draw(st.sampled_from(sorted(wire)))
    if how == "drop":
        del wire[key]
    elif how == "add":
        foreign = draw(KEYS)
        wire[foreign] = draw(WRONG if table is not FIELDS or foreign not in FIELD_VALUES else st.one_of(WRONG, plain(foreign)))
    elif how == "wrong":
        wire[key] = draw(WRONG)
    else:
        wire[key] = just_over(*table[key][1:]) if key in table else 0


def plain(key: int) -> st.SearchStrategy[Any]:
    return st.just([]) if FIELDS[key][1] == INPUTS else FIELD_VALUES[key]


@st.composite
def spoilt_messages(draw: st.DrawFn) -> Any:
    wire = cbor.decode(messages.pack(draw(whole_messages())), 1 << 16)
    where = draw(st.sampled_from(["message", "message", "message", "input", "choices", "answers"]))
    if where == "input" and wire.get(30):
        spoil(draw, INPUT_FIELDS, wire[30][draw(st.integers(0, len(wire[30]) - 1))])
    elif where == "choices" and wire.get(30) and 6 in wire[30][0]:
        wire[30][0][6] = draw(st.one_of(st.lists(WRONG, max_size=3), st.just(["x" * 41]), st.just(["", "x" * 41])))
    elif where == "answers" and 8 in wire:
        name = draw(st.one_of(st.sampled_from(["pin", "x" * 33, "\u00e9" * 17, 1]), st.sampled_from(sorted(wire[8]))))
        wire[8][name] = draw(st.one_of(WRONG, st.sampled_from(["x" * 64, "x" * 65, "\u00e9" * 33])))
    else:
        spoil(draw, FIELDS, wire)
    return wire


@MANY_EXAMPLES
@given(spoilt_messages())
def test_the_code_accepts_a_spoilt_message_only_where_the_law_does_and_the_other_way_round(wire: Any):
    try:
        encoded = cbor.encode(wire)
    except ContractError:
        assume(False)
        return
    assume(len(encoded) <= cbor.MAX_BYTES)
    assert accepted(encoded) == lawful(encoded)


def test_every_limit_holds_at_its_edge_in_the_code_and_in_the_law():
    for number, (name, _, _) in MESSAGES.items():
        required, optional = message_of(number)
        whole = {key: smallest(key) for key in required} | {0: number}
        assert accepted(cbor.encode(whole)) and lawful(cbor.encode(whole)), name
        for key in required:
            assert_refused({other: value for other, value in whole.items() if other != key})
        for key in required + optional:
            _, kind, limit = FIELDS[key]
            if key:
                assert_refused(whole | {key: just_over(kind, limit)})
            assert_refused(whole | {key: None})
        for key in FIELDS:
            if key not in required + optional:
                assert_refused(whole | {key: smallest(key)})
        assert_refused(whole | {45: 0})
        assert_refused(whole | {"rid": bytes(8)})
    assert_refused({0: 22, 1: bytes(8), 2: 0, 42: 0})
    assert_refused({0: 0, 1: bytes(8)})
    assert_refused({0: 7, 1: bytes(9), 21: 0})


def smallest(key: int) -> Any:
    if key == 1:
        return bytes(8)
    if key == 42:
        return 1
    return {UINT: 0, TEXT: "", BYTES: b"", BOOL: False, ANSWERS: {"pin": ""}, INPUTS: []}[FIELDS[key][1] & ~SECRET]


def assert_refused(wire: Any) -> None:
    encoded = cbor.encode(wire)
    assert not accepted(encoded) and not lawful(encoded), wire


def test_handshake_payloads_are_lawful_exactly_where_the_code_takes_them():
    for payload in (
        [0], [1, b"x"], [1, bytes(255)], [2, b"x", "bridge-1"], [2, b"x", "abcd"], [2, b"x", "a" * 23], [3, b"x"], [4, b"x"],
        [0, 0], [], [1], [1, b""], [1, bytes(256)], [1, "x"], [1, b"x", "bridge-1"], [2, b"x"], [2, b"x", "abc"],
        [2, b"x", "a" * 24], [2, b"x", "-bridge"], [2, b"x", "bridge-"], [2, b"x", "Bridge"], [2, b"x", "a+bc"],
        [2, b"x", "a/bc"], [2, b"x", b"bridge-1"], [2, "x", "bridge-1"],
        [3, b"x", b"x"], [4], [5, b"x"], [-1, b"x"], [True, b"x"], 0, b"", {}, None,
    ):  # fmt: skip
        try:
            edhoc.unpack_step(payload)
            taken = True
        except PeerError:
            taken = False
        assert taken == lawful(cbor.encode(payload), "payload"), payload


def test_frames_are_lawful_exactly_where_the_code_takes_them():
    device = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", "lp-7f3k2m", "device")
    for sent in (0, 255, 256, 65535):
        for length in (0, 26, 27, 300, 1500, 4000):
            device._sent = sent
            sealed, (kid, piv) = device.seal(bytes(length))
            frame = bytes(sealed)
            assert lawful(frame, "payload")
            _, names, ciphertext = cbor.decode(frame)
            for other in (
                [b"", names, ciphertext + b"x"], [b"", names, ciphertext[1:]], [b"x", names, ciphertext], [b"", names],
                [b"", names | {4: b""}, ciphertext], [b"", names | {4: b"xx"}, ciphertext], [b"", names | {6: b""}, ciphertext],
                [b"", names | {6: b"xxx"}, ciphertext], [b"", names | {10: bytes(7)}, ciphertext],
                [b"", names | {5: b""}, ciphertext],
                [b"", {4: kid, 6: piv}, ciphertext], [b"", names, "text"], [b"", names, ciphertext, b""],
            ):  # fmt: skip
                encoded = cbor.encode(other)
                assert not lawful(encoded, "payload")
                try:
                    session.parse(encoded)
                except PeerError:
                    continue
                raise AssertionError("the code takes what the law does not")


def test_additional_data_and_credentials_are_lawful():
    device = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", "lp-7f3k2m", "device")
    law = "additional-data"
    for up in (True, False):
        assert lawful(device._aad((b"\x02", b"\x00"), up), law)
        assert lawful(device._aad((b"\x02", b"\x01\x00"), up), law)
    assert not lawful(
        session.enc_structure(cbor.encode([1, [10], b"\x02", b"\x00", cbor.encode(["latchpin/1", "x", "up"])])), law
    )
    public = p256.public_key(bytes(31) + b"\x01")
    assert lawful(edhoc.credential("lp-7f3k2m", b"\x01", public), "credential")
    assert lawful(edhoc.credential(edhoc.BRIDGE, b"\x81\x42", public), "credential")


# The law and the story.


def message_table() -> str:
    lines = ["| type | message | must carry | may carry |", "|---|---|---|---|"]
    for number in sorted(MESSAGES):
        required, optional = (", ".join(f"{key} {FIELDS[key][0]}" for key in keys if key > 3) for keys in message_of(number))
        lines.append(f"| {number} | {MESSAGES[number][0]} | {required or '-'} | {optional or '-'} |")
    return "\n".join(lines)


def error_numbers() -> list[tuple[int, str]]:
    return [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", README, re.MULTILINE)]


def test_the_message_table_of_the_readme_is_the_table_of_the_code():
    assert message_table() in README


def test_the_readme_tells_of_every_error_code():
    assert error_numbers() == sorted(bridge_side.CODES.items())


def test_every_test_that_the_readme_names_exists():
    said = set(re.findall(r"`(test_\w+)`", README))
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M)
    }
    assert said and not said - defined


if __name__ == "__main__":
    print(message_table())
