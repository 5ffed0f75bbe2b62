"""pack and unpack of latchpin.wire.messages from the same tables, parsed once: on a chip they are texts that are searched.

Not another contract: tests give both the same messages and the same bytes, and want the same answers.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from latchpin.wire import cbor, messages
from latchpin.wire.errors import ContractError, PeerError
from latchpin.wire.messages import Message

_decode = cbor._decode


class Inputs(list[dict[str, Any]]):
    """The inputs of a PROMPT that will be packed again and again, and never changed."""

    packed = b""


class _Field(NamedTuple):
    """A row of a table. `write` gives key and value of what is `good`, and raises ValueError or TypeError for anything else."""

    number: int
    name: str
    good: Callable[[Any], bool]
    write: Callable[[Any], bytes]


class _Form(NamedTuple):
    """A message: its type as it stands in its map, the names that it must carry, and by number all fields that it may."""

    name: str
    type: bytes
    must: frozenset[str]
    fields: dict[int, _Field]


def pack(message: Message) -> bytes:
    """As messages.pack."""
    try:
        return _written(_layout(message.name, *message.fields), message.fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ContractError from None


def unpack(data: bytes) -> Message:
    """As messages.unpack."""
    try:
        # A map of fewer than 24 pairs, and in it the type: 0, and a number below 24.
        pairs, form = data[0] - 0xA0, _BY_NUMBER[data[2]]
        if data[1] or not 0 < pairs < 24 or len(data) > cbor.MAX_BYTES:
            raise PeerError
        fields, at, last = {}, 3, 0
        for _ in range(pairs - 1):
            number = data[at]
            at += 1
            if number == 0x18:
                number = data[at]
                at += 1
                if number < 24:
                    raise PeerError
            if number <= last:
                raise PeerError
            last, field = number, form.fields[number]
            value, at = _decode(data, at, cbor.MAX_DEPTH - 1)
            if not field.good(value):
                raise PeerError
            fields[field.name] = value
    except (IndexError, KeyError, ValueError):
        raise PeerError from None
    if at != len(data) or not form.must <= fields.keys():
        raise PeerError
    if "inputs" in fields:
        fields["inputs"] = [{_INPUT_NUMBERED[number].name: item[number] for number in item} for item in fields["inputs"]]
    return Message(form.name, fields)


_Layout = tuple[bytes, list[tuple[str, Callable[[Any], bytes]]]]


@functools.lru_cache(1024)
def _layout(name: str, *fields: str) -> _Layout:
    """How a message with these fields begins, and what follows in order. Raises KeyError or ValueError: none has these."""
    form = _BY_NAME[name]
    return _in_order(form.type, form.must, {field.name: field for field in form.fields.values()}, fields)


@functools.lru_cache(128)
def _input_layout(*fields: str) -> _Layout:
    return _in_order(b"", frozenset(("name", "kind")), _INPUT_FIELDS, fields)


def _in_order(start: bytes, must: frozenset[str], known: dict[str, _Field], names: tuple[str, ...]) -> _Layout:
    if not must <= set(names):
        raise ValueError
    found = sorted([(known[name].number, name) for name in names])
    return _head(0xA0, len(found) + bool(start)) + start, [(name, known[name].write) for _, name in found]


def _written(layout: _Layout, fields: dict[str, Any]) -> bytes:
    start, found = layout
    return b"".join([start, *[write(fields[name]) for name, write in found]])


def _head(major: int, size: int) -> bytes:
    # RFC 8949, section 3.
    if size < 24:
        return bytes((major | size,))
    power = 0 if size < 256 else 1 if size < 65536 else 2 if size < 1 << 32 else 3
    return bytes((major | 24 + power,)) + size.to_bytes(1 << power, "big")


_size = functools.cache(_head)  # for what is no longer than a frame, and for small numbers


def _field(number: int, name: str, kind: str, most: int) -> _Field:
    key = cbor.encode(number)

    def good(value: Any) -> bool:
        return messages._good(kind, most, value)

    def is_number(value: Any) -> bool:
        return type(value) is int and least <= value <= most

    def is_text(value: Any) -> bool:
        return type(value) is str and (len(value) <= shortest or len(value.encode()) <= most)

    def write(value: Any) -> bytes:
        if not good(value):
            raise ValueError
        return key + cbor.encode(value)

    def write_bytes(value: Any) -> bytes:
        if type(value) is not bytes or not (most if kind == "r" else 0) <= len(value) <= most:
            raise ValueError
        return key + _size(0x40, len(value)) + value

    def write_number(value: Any) -> bytes:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return key + (_size(0, value) if value < 256 else _head(0, value))

    def write_text(value: Any) -> bytes:
        raw = str.encode(value)
        if len(raw) > most:
            raise ValueError
        return key + _size(0x60, len(raw)) + raw

    def write_inputs(value: Any) -> bytes:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError
        packed = value.packed if isinstance(value, Inputs) else b""
        if not packed:
            packed = b"".join([key, _size(0x80, len(value)), *[_written(_input_layout(*item), item) for item in value]])
            if isinstance(value, Inputs):
                value.packed = packed
        return packed

    least, shortest = int(kind == "e"), most // 4  # characters of 4 bytes each (RFC 3629)
    if kind in "ue":
        return _Field(number, name, is_number, write_number)
    if kind == "t":
        return _Field(number, name, is_text, write_text)
    return _Field(number, name, good, {"i": write_inputs, "b": write_bytes, "r": write_bytes}.get(kind, write))


def _fields(table: str) -> dict[str, _Field]:
    rows = [line.split(" ") for line in table.strip().splitlines()]
    return {name: _field(int(number), name, kind.lower(), int(most)) for number, name, kind, most in rows}


def _forms() -> dict[int, _Form]:
    found = {}
    for line in messages.MESSAGES.strip().splitlines():
        number, name, *keys = line.split(" ")
        must = [_NUMBERED[int(key)] for key in keys[: keys.index("?")]]
        may = [*must, *[_NUMBERED[int(key)] for key in keys[keys.index("?") + 1 :]]]
        by_number = {field.number: field for field in may}
        found[int(number)] = _Form(
            name, cbor.encode(0) + cbor.encode(int(number)), frozenset(each.name for each in must), by_number
        )
    return found


_FIELDS, _INPUT_FIELDS = _fields(messages.FIELDS), _fields(messages.INPUT_FIELDS)
_NUMBERED = {field.number: field for field in _FIELDS.values()}
_INPUT_NUMBERED = {field.number: field for field in _INPUT_FIELDS.values()}
_BY_NUMBER = _forms()
_BY_NAME = {form.name: form for form in _BY_NUMBER.values()}
