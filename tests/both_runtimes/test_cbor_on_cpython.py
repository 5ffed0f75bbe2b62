"""The decoder of the contract against an independent one: cbor2, told to be strict, on what hypothesis thinks of.

Not for MicroPython: cbor2 and hypothesis do not run there. test_cbor.py does.
"""

import math
from typing import Any

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latchpin.wire import cbor
from latchpin.wire.errors import ContractError, PeerError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-cbor.MAX_INT, cbor.MAX_INT)
    | st.binary(max_size=300)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
)
KEYS = st.integers(-300, 70000) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20)
BUILTIN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


class Refused(Exception):
    pass


def no_tag(*_: object) -> Any:
    raise Refused


def in_profile(value: object, depth: int = cbor.MAX_DEPTH) -> bool:
    if value is None or isinstance(value, bool | bytes | str):
        return True
    if isinstance(value, int):
        return -cbor.MAX_INT <= value <= cbor.MAX_INT
    if not isinstance(value, list | dict) or not depth or len(value) > cbor.MAX_ITEMS:
        return False
    if isinstance(value, dict):
        if not all(isinstance(key, int | str) and not isinstance(key, bool) and in_profile(key) for key in value):
            return False
        value = list(value.values())
    return all(in_profile(item, depth - 1) for item in value)


def in_profile_after_cbor2(data: bytes) -> bool:
    """Whether cbor2 reads `data` as a value of the profile and writes the same bytes for it (its order is that of RFC 7049)."""
    try:
        value = cbor2.loads(
            data,
            max_depth=cbor.MAX_DEPTH + 1,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            tag_hook=no_tag,
            semantic_decoders=dict.fromkeys(BUILTIN_TAGS, no_tag),
        )
        return in_profile(value) and oracle(value) == data
    except (Refused, cbor2.CBORDecodeError):
        return False


def oracle(value: Any) -> bytes:
    """Deterministic CBOR with cbor2 writing every head and string, and Python sorting (RFC 8949, section 4.2.1)."""
    if isinstance(value, dict):
        head = bytearray(cbor2.dumps([0] * len(value))[: 1 + (len(value) > 23)])
        head[0] += 0x20
        pairs = sorted((cbor2.dumps(key), oracle(item)) for key, item in value.items())
        return bytes(head) + b"".join(key + item for key, item in pairs)
    if isinstance(value, list):
        return cbor2.dumps([0] * len(value))[: 1 + (len(value) > 23)] + b"".join(map(oracle, value))
    return cbor2.dumps(value)


def decoded(data: bytes) -> tuple[bool, Any]:
    try:
        return True, cbor.decode(data)
    except PeerError:
        return False, None


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_what_we_write_cbor2_reads_and_what_it_writes_we_read(value: Any) -> None:
    try:
        data = cbor.encode(value)
    except ContractError:
        assert not in_profile(value)
        return
    assert data == oracle(value)
    assert cbor2.loads(data) == value
    assert cbor.decode(data) == value


@settings(max_examples=3000, deadline=None)
@given(st.binary(max_size=40))
@example(bytes.fromhex("a2617a000a00"))
@example(bytes.fromhex("62c080"))
@example(bytes.fromhex("63eda080"))
@example(bytes.fromhex("d9d9f700"))
@example(bytes.fromhex("a1f400"))
def test_bytes_are_taken_exactly_where_cbor2_made_strict_takes_them(data: bytes) -> None:
    taken, value = decoded(data)
    assert taken == in_profile_after_cbor2(data)
    if taken:
        assert value == cbor2.loads(data)


@settings(max_examples=1500, deadline=None)
@given(VALUES, st.data())
def test_damaged_values_are_taken_exactly_where_cbor2_made_strict_takes_them(value: Any, data: st.DataObject) -> None:
    whole = bytearray(oracle(value)) if in_profile(value) else bytearray(b"\x80")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    taken, value = decoded(bytes(whole))
    assert taken == in_profile_after_cbor2(bytes(whole))
    if taken:
        assert cbor.encode(value) == whole


@settings(max_examples=500, deadline=None)
@given(
    st.recursive(
        LEAVES | st.floats() | st.integers() | st.text(st.characters(), max_size=5) | st.sets(st.integers(), max_size=3),
        lambda inner: st.lists(inner, max_size=40) | st.dictionaries(KEYS | st.binary() | st.booleans(), inner, max_size=4),
        max_leaves=60,
    )
)
@example("\ud800")
@example(math.nan)
@example({"\udfff": 0})
def test_the_encoder_writes_what_the_decoder_takes_or_raises_contract_error(value: Any) -> None:
    try:
        data = cbor.encode(value)
    except ContractError:
        return
    assert cbor.decode(data, max_bytes=len(data)) == value
