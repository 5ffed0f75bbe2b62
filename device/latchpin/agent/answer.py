"""The answer to an MCP call, JSON or server-sent events, read as it comes: none has to be in memory as a whole.

Not for what it means (mcp.py), and no object: a reader is a list of plain values, so that this module can leave a small heap
between two pieces.
"""

from latchpin.runtime import const
from latchpin.wire.errors import PeerError

# What a person or an application wants: texts of tools/call and resources/read, names of tools/list, why not.
_TEXTS = const(" result/content/*/text result/contents/*/text result/tools/*/name error/message ")
_MOST_WORD = const(32)
_DEEPEST = const(32)
_ESCAPED = const(b'""\\\\//b\bf\fn\nr\rt\t')
# What a byte belongs to.
_BETWEEN = const(0)
_STRING = const(1)
_ESCAPE = const(2)
_HEX = const(3)


# A reader is a list, for names take room on a chip.
_EVENTS = const(0)  # whether a stream of them comes: the first byte tells; None before it
_FIELD = const(1)  # of the line at hand; None within the value of `data`, False in any other line
_PATH = const(2)  # "*" for an array, the key at hand for an object
_IN = const(3)
_IS_KEY = const(4)  # a string that comes now is one
_WORD = const(5)  # the key or value that is being read, where it is wanted
_LINE_END = const(6)  # what is to stand before the next text, once there was one
_IS_TEXT = const(7)  # the string at hand is wanted text
_DIGITS = const(8)  # of an escape
_HIGH = const(9)  # the first half of a surrogate pair (RFC 8259, section 7)
_REPLY = const(10)  # a response is being read
_DONE = const(11)
_FAILED = const(12)
_CODE = const(13)
_AGREED = const(14)


def new() -> list:
    """A reader that has read nothing."""
    return [None, b"", [], _BETWEEN, False, None, b"", False, "", 0, False, False, False, 0, ""]


def found(reader: list) -> tuple[bool, bool, int, str]:
    """(the response is whole; the server or the tool says that it failed; the code of a JSON-RPC error; the protocolVersion of an
    initialize)"""
    return reader[_DONE], reader[_FAILED], reader[_CODE], reader[_AGREED]


def feed(reader: list, data: bytes) -> bytearray:
    """The bytes (UTF-8) of text that are new in the next piece of the answer. Raises PeerError: no JSON."""
    fresh = bytearray()
    if reader[_EVENTS] is None:
        data = data.lstrip()
        if data:
            reader[_EVENTS] = data[:1] != b"{"
    if not reader[_EVENTS]:
        _read(reader, data, fresh)
        return fresh
    # Of the fields of an event (HTML standard, 9.2.6) only `data` counts; notifications come before the response.
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        line = data[at : end if end >= 0 else len(data)]
        field = reader[_FIELD]
        if field is not None and field is not False:
            field += line
            line = b""
            if field[:5] == b"data:":
                line = field[5:]
                field = None
            elif len(field) > 4:
                field = False
        if field is None:
            _read(reader, line, fresh)
        reader[_FIELD] = field if end < 0 else b""
        at = end + 1 if end >= 0 else len(data)
    return fresh


def _read(reader, data, fresh):
    at = 0
    while at < len(data) and not reader[_DONE]:
        inside = reader[_IN]
        if inside == _BETWEEN:
            _structure(reader, data[at], fresh)
            at += 1
        elif inside == _STRING:
            end = data.find(b'"', at)
            stop = data.find(b"\\", at, end) if end >= 0 else data.find(b"\\", at)
            if stop < 0:
                stop = end if end >= 0 else len(data)
            _take(reader, data[at:stop], fresh)
            at = stop + 1
            if stop < len(data):
                reader[_IN] = _ESCAPE if data[stop] == 92 else _BETWEEN
                if stop == end:
                    _end_of_string(reader)
        else:
            _escape(reader, data[at], fresh)
            at += 1


def _structure(reader, byte, fresh):
    path = reader[_PATH]
    sign = chr(byte)
    if sign in ",]}" and reader[_WORD] is not None:
        _literal(reader)
    if sign == '"':
        reader[_IN] = _STRING
        where = "/".join(path)
        wanted = reader[_IS_TEXT] = not reader[_IS_KEY] and (" " + where + " ") in _TEXTS
        if wanted:
            fresh.extend(reader[_LINE_END])
            reader[_LINE_END] = b"\n"
            if where == "error/message":
                reader[_FAILED] = True
        reader[_WORD] = bytearray() if reader[_IS_KEY] or where == "result/protocolVersion" else None
    elif sign in "{[":
        if len(path) == _DEEPEST or (not path and sign == "["):
            raise PeerError
        if len(path) == 1 and path[0] in ("result", "error") and sign == "{":
            reader[_REPLY] = True
            reader[_FAILED] = path[0] == "error"
        path.append("*" if sign == "[" else "")
        reader[_IS_KEY] = sign == "{"
    elif sign in "}]":
        if not path or (path.pop() == "*") != (sign == "]"):
            raise PeerError
        reader[_IS_KEY] = False
        if not path:
            reader[_DONE] = reader[_REPLY]
    elif sign == ",":
        if not path:
            raise PeerError
        reader[_IS_KEY] = path[-1] != "*"
    elif sign == ":":
        reader[_IS_KEY] = False
    elif sign not in " \t\r\n":
        if not path:
            raise PeerError
        if reader[_WORD] is None:
            reader[_WORD] = bytearray()
        _take(reader, bytes((byte,)), fresh)


def _literal(reader):
    # A number, true, false or null.
    word = bytes(reader[_WORD])
    reader[_WORD] = None
    where = "/".join(reader[_PATH])
    if where == "result/isError":
        reader[_FAILED] = word == b"true"
    elif where == "error/code":
        try:
            reader[_CODE] = int(word)
        except ValueError:
            raise PeerError


def _end_of_string(reader):
    word = reader[_WORD]
    reader[_WORD] = None
    reader[_IS_TEXT] = False
    if reader[_IS_KEY]:
        reader[_PATH][-1] = str(word, "utf-8")
    elif word is not None:
        reader[_AGREED] = str(word, "utf-8")


def _take(reader, part, fresh):
    # Of a word no more is kept than tells it from others: what is longer is none of those that count.
    if reader[_IS_TEXT]:
        fresh.extend(part)
    elif reader[_WORD] is not None and len(reader[_WORD]) + len(part) <= _MOST_WORD:
        reader[_WORD].extend(part)


def _escape(reader, byte, fresh):
    # RFC 8259, section 7.
    if reader[_IN] == _ESCAPE:
        if byte == 117:
            reader[_IN] = _HEX
            reader[_DIGITS] = ""
            return
        found = _ESCAPED.find(bytes((byte,)))
        if found < 0 or found & 1:
            raise PeerError
        _take(reader, _ESCAPED[found + 1 : found + 2], fresh)
    else:
        reader[_DIGITS] += chr(byte)
        if len(reader[_DIGITS]) < 4:
            return
        try:
            code = int(reader[_DIGITS], 16)
        except ValueError:
            raise PeerError
        high = reader[_HIGH]
        reader[_HIGH] = 0
        if 0xD800 <= code < 0xDC00:
            reader[_HIGH] = code
        else:
            if 0xDC00 <= code < 0xE000:
                code = 0x10000 + (high - 0xD800 << 10) + code - 0xDC00 if high else 0xFFFD
            _take(reader, chr(code).encode(), fresh)
    reader[_IN] = _STRING
