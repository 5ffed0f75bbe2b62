"""pack and unpack of latchpin.wire.messages from the same tables, parsed once: on a chip they are texts that are searched.

Not another contract: tests give both the same messages and the same bytes, and want the same answers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from latchpin.wire import cbor, messages
from latchpin.wire.errors import ContractError, PeerError
from latchpin.wire.messages import Message

_Encode = Callable[[Any, int], bytes]


class _Field(NamedTuple):
    number: int
    name: str
    kind: str
    most: int
    key: bytes
    encode: _Encode


class _Form(NamedTuple):
    """A message: its name, the start of its map, and the fields that it must and may carry."""

    name: str
    type: bytes
    must: frozenset[int]
    may: frozenset[int]


def pack(message: Message) -> bytes:
    """As messages.pack."""
    try:
        form = _BY_NAME[message.name]
        fields = sorted([(_FIELDS[name], value) for name, value in message.fields.items()])
        numbers = {field.number for field, _ in fields}
        if not form.must <= numbers <= form.may:
            raise ContractError
        return _head(0xA0, len(fields) + 1) + form.type + _encoded(fields)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ContractError from None


def unpack(data: bytes) -> Message:
    """As messages.unpack."""
    decoded: Any = cbor.decode(data)
    kind = decoded.pop(0, None) if isinstance(decoded, dict) else None
    form = _BY_NUMBER.get(kind) if type(kind) is int else None
    if form is None or not form.must <= decoded.keys() <= form.may:
        raise PeerError
    fields = {}
    for number, value in decoded.items():
        field = _NUMBERED[number]
        if not messages._good(field.kind, field.most, value):
            raise PeerError
        fields[field.name] = value
    if "inputs" in fields:
        fields["inputs"] = [{_INPUT_NUMBERED[number].name: item[number] for number in item} for item in fields["inputs"]]
    return Message(form.name, fields)


def _encoded(fields: list[tuple[_Field, Any]]) -> bytes:
    return b"".join([field.key + field.encode(value, field.most) for field, value in fields])


def _head(major: int, size: int) -> bytes:
    # RFC 8949, section 3.
    if size < 24:
        return bytes((major | size,))
    power = 0 if size < 256 else 1 if size < 65536 else 2 if size < 1 << 32 else 3
    return bytes((major | 24 + power,)) + size.to_bytes(1 << power, "big")


def _number(value: Any, most: int) -> bytes:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return _head(0, value)


def _error(value: Any, most: int) -> bytes:
    return _number(value, most if value else -1)


def _flag(value: Any, most: int) -> bytes:
    return b"\xf5" if value is True else b"\xf4" if value is False else _refused()


def _text(value: Any, most: int) -> bytes:
    raw = value.encode() if isinstance(value, str) else _refused()
    return _head(0x60, len(raw)) + raw if len(raw) <= most else _refused()


def _bytes(value: Any, most: int) -> bytes:
    return _head(0x40, len(value)) + value if isinstance(value, bytes) and len(value) <= most else _refused()


def _exactly(value: Any, most: int) -> bytes:
    return _bytes(value, most) if len(value) == most else _refused()


def _answers(value: Any, most: int) -> bytes:
    return cbor.encode(value) if messages._good("a", most, value) else _refused()


def _choices(value: Any, most: int) -> bytes:
    return cbor.encode(value) if messages._good("c", most, value) else _refused()


def _inputs(value: Any, most: int) -> bytes:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError
    items = [sorted([(_INPUT_FIELDS[name], item[name]) for name in item]) for item in value]
    if not all({0, 1} <= {field.number for field, _ in item} for item in items):
        raise ValueError
    return _head(0x80, len(items)) + b"".join([_head(0xA0, len(item)) + _encoded(item) for item in items])


def _refused() -> bytes:
    raise ValueError


_ENCODE: dict[str, _Encode] = {
    **{"u": _number, "e": _error, "f": _flag, "t": _text, "b": _bytes},
    **{"r": _exactly, "a": _answers, "c": _choices, "i": _inputs},
}


def _fields(table: str) -> dict[str, _Field]:
    found = {}
    for line in table.strip().splitlines():
        number, name, kind, most = line.split(" ")
        kind = kind.lower()
        found[name] = _Field(int(number), name, kind, int(most), cbor.encode(int(number)), _ENCODE[kind])
    return found


def _forms() -> dict[int, _Form]:
    found = {}
    for line in messages.MESSAGES.strip().splitlines():
        number, name, *keys = line.split(" ")
        must = frozenset(map(int, keys[: keys.index("?")]))
        may = must | frozenset(map(int, keys[keys.index("?") + 1 :]))
        found[int(number)] = _Form(name, cbor.encode(0) + cbor.encode(int(number)), must, may)
    return found


_FIELDS, _INPUT_FIELDS = _fields(messages.FIELDS), _fields(messages.INPUT_FIELDS)
_NUMBERED = {field.number: field for field in _FIELDS.values()}
_INPUT_NUMBERED = {field.number: field for field in _INPUT_FIELDS.values()}
_BY_NUMBER = _forms()
_BY_NAME = {form.name: form for form in _BY_NUMBER.values()}
