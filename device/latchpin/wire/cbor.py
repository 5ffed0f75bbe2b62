"""CBOR as the contract allows it (RFC 8949, section 4.2.1): small, strict, one way to write each value.

Not a CBOR library: no tags, floats, undefined, indefinite lengths; at most 4 containers deep, 32 items in each,
integers from -2^53 to 2^53, map keys integer or text.
"""

from latchpin.wire.errors import ContractError, PeerError

MAX_BYTES = 4096
MAX_DEPTH = 4
MAX_ITEMS = 32
MAX_INT = 1 << 53


def encode(value) -> bytes:
    """Deterministic CBOR of None, bool, int, bytes, str, list or tuple, dict, within the limits above.

    Raises ContractError: any other value.
    """
    out = bytearray()
    append(out, value)
    return bytes(out)


def append(out: bytearray, value):
    """As `encode`, at the end of `out`."""
    _encode(out, value, MAX_DEPTH)


def decode(data: bytes, max_bytes: int = MAX_BYTES):
    """The one value that `data` (bytes, bytearray or memoryview) is the deterministic encoding of.

    Raises PeerError: anything else, whatever the bytes are.
    """
    if len(data) > max_bytes:
        raise PeerError("too long")
    data = bytes(data)
    try:
        value, end = _decode(data, 0, MAX_DEPTH)
    except (IndexError, ValueError):
        raise PeerError("text")
    if end != len(data):
        raise PeerError("trailing bytes")
    return value


def head(out: bytearray, major: int, n: int):
    """Append the head of a value (RFC 8949, section 3): its major type and its number or length."""
    if n < 24:
        out.append(major << 5 | n)
        return
    power = 0
    while n >> (8 << power):
        power += 1
    out.append(major << 5 | 24 + power)
    out.extend(n.to_bytes(1 << power, "big"))


def _encode(out, value, depth):
    kind = type(value)
    if value is None:
        out.append(0xF6)
    elif kind is bool:
        out.append(0xF4 + value)
    elif kind is int:
        if not -MAX_INT <= value <= MAX_INT:
            raise ContractError("integer")
        if value < 0:
            head(out, 1, ~value)
        else:
            head(out, 0, value)
    elif isinstance(value, (bytes, bytearray)):
        head(out, 2, len(value))
        out.extend(value)
    elif isinstance(value, str):
        try:
            raw = value.encode()
        except ValueError:
            raise ContractError("text")
        head(out, 3, len(raw))
        out.extend(raw)
    elif isinstance(value, (list, tuple, dict)):
        if not depth or len(value) > MAX_ITEMS:
            raise ContractError("container")
        if isinstance(value, dict):
            head(out, 5, len(value))
            entries = []
            for key in value:
                if type(key) is not int and not isinstance(key, str):
                    raise ContractError("key")
                entries.append((encode(key), key))
            for encoded, key in sorted(entries):
                out.extend(encoded)
                _encode(out, value[key], depth - 1)
        else:
            head(out, 4, len(value))
            for item in value:
                _encode(out, item, depth - 1)
    else:
        raise ContractError("type")


def _decode(data, at, depth):
    initial = data[at]
    at += 1
    if initial < 24:
        return initial, at
    major = initial >> 5
    n = initial & 31
    if n > 23:
        if n > 27:
            raise PeerError("type")
        size = 1 << n - 24
        n = int.from_bytes(data[at : at + size], "big")
        at += size
        # Shortest head only (RFC 8949, section 4.2.1).
        if at > len(data) or n < (24 if size == 1 else 1 << 4 * size):
            raise PeerError("head")
    if 1 < major < 4:
        end = at + n
        if end > len(data):
            raise PeerError("head")
        value = data[at:end]
        if major == 3:
            value = str(value, "utf-8")
            if len(value) != n:
                _check_text(value)
        return value, end
    if major < 2:
        if n + major > MAX_INT:
            raise PeerError("integer")
        return (~n if major else n), at
    if major > 5:
        if 19 < n < 23 and major == 7:
            return (False, True, None)[n - 20], at
        raise PeerError("type")
    if not depth or n > MAX_ITEMS:
        raise PeerError("container")
    depth -= 1
    if major == 4:
        items = []
        for _ in range(n):
            value, at = _decode(data, at, depth)
            items.append(value)
        return items, at
    mapping = {}
    previous = b""
    for _ in range(n):
        start = at
        key, at = _decode(data, at, 0)
        encoded = data[start:at]
        if encoded <= previous:
            raise PeerError("order")
        if type(key) is not int and not isinstance(key, str):
            raise PeerError("key")
        previous = encoded
        mapping[key], at = _decode(data, at, depth)
    return mapping, at


def _check_text(text):
    # MicroPython lets overlong forms, surrogates and numbers beyond U+10FFFF pass (RFC 3629, section 3).
    for character in text:
        n = ord(character)
        if n > 0x10FFFF or 0xD800 <= n < 0xE000 or len(character.encode()) != 1 + (n > 0x7F) + (n > 0x7FF) + (n > 0xFFFF):
            raise PeerError("text")
