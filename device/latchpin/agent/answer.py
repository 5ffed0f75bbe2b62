"""The answer to an MCP call, JSON or server-sent events, read as it comes: none has to be in memory as a whole.

Not for what it means (mcp.py), and no object: a reader is a dict of plain values, so that this module can leave a small heap
between two pieces.
"""

from latchpin.runtime import const
from latchpin.wire.errors import PeerError

# What a person or an application wants: texts of tools/call and resources/read, names of tools/list, why not.
_TEXTS = const(" result/content/*/text result/contents/*/text result/tools/*/name error/message ")
_MOST_WORD = const(32)
_DEEPEST = const(32)
_ESCAPED = const(b"\"\"\\\\//b\bf\fn\nr\rt\t")
# What a byte belongs to.
_BETWEEN = const(0)
_STRING = const(1)
_ESCAPE = const(2)
_HEX = const(3)


def new() -> dict:
    """A reader that has read nothing. What it will have found: "done", "failed" (the server or the tool says so), "code" (of a
    JSON-RPC error), "agreed" (the protocolVersion of an initialize)."""
    return {
        "events": None,  # whether a stream of them comes: the first byte tells
        "field": b"",  # of the line at hand; None within the value of `data`, False in any other line
        "path": [],  # "*" for an array, the key at hand for an object
        "in": _BETWEEN,
        "key": False,  # a string that comes now is one
        "word": None,  # the key or value that is being read, where it is wanted
        "text": None,  # what is to stand before the next text: a line's end, where there was one before
        "wanted": False,  # the string at hand is text
        "high": 0,  # the first half of a surrogate pair (RFC 8259, section 7)
        "reply": False,
        "done": False,
        "failed": False,
        "code": 0,
        "agreed": "",
    }


def feed(reader: dict, data: bytes) -> bytearray:
    """The bytes (UTF-8) of text that are new in the next piece of the answer. Raises PeerError: no JSON."""
    fresh = bytearray()
    if reader["events"] is None:
        data = data.lstrip()
        if data:
            reader["events"] = data[:1] != b"{"
    if not reader["events"]:
        _read(reader, data, fresh)
        return fresh
    # Of the fields of an event (HTML standard, 9.2.6) only `data` counts; notifications come before the response.
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        line = data[at : end if end >= 0 else len(data)]
        field = reader["field"]
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
        reader["field"] = field if end < 0 else b""
        at = end + 1 if end >= 0 else len(data)
    return fresh


def _read(reader, data, fresh):
    at = 0
    while at < len(data) and not reader["done"]:
        inside = reader["in"]
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
                reader["in"] = _ESCAPE if data[stop] == 92 else _BETWEEN
                if stop == end:
                    _end_of_string(reader)
        else:
            _escape(reader, data[at], fresh)
            at += 1


def _structure(reader, byte, fresh):
    path = reader["path"]
    sign = chr(byte)
    if sign in ",]}" and reader["word"] is not None:
        _literal(reader)
    if sign == '"':
        reader["in"] = _STRING
        where = "/".join(path)
        wanted = reader["wanted"] = not reader["key"] and (" " + where + " ") in _TEXTS
        if wanted:
            fresh.extend(reader["text"] or b"")
            reader["text"] = b"\n"
            if where == "error/message":
                reader["failed"] = True
        reader["word"] = bytearray() if reader["key"] or where == "result/protocolVersion" else None
    elif sign in "{[":
        if len(path) == _DEEPEST or (not path and sign == "["):
            raise PeerError
        if len(path) == 1 and path[0] in ("result", "error") and sign == "{":
            reader["reply"] = True
            reader["failed"] = path[0] == "error"
        path.append("*" if sign == "[" else "")
        reader["key"] = sign == "{"
    elif sign in "}]":
        if not path or (path.pop() == "*") != (sign == "]"):
            raise PeerError
        reader["key"] = False
        if not path:
            reader["done"] = reader["reply"]
    elif sign == ",":
        if not path:
            raise PeerError
        reader["key"] = path[-1] != "*"
    elif sign == ":":
        reader["key"] = False
    elif sign not in " \t\r\n":
        if not path:
            raise PeerError
        if reader["word"] is None:
            reader["word"] = bytearray()
        _take(reader, bytes((byte,)), fresh)


def _literal(reader):
    # A number, true, false or null.
    word = bytes(reader["word"])
    reader["word"] = None
    where = "/".join(reader["path"])
    if where == "result/isError":
        reader["failed"] = word == b"true"
    elif where == "error/code":
        try:
            reader["code"] = int(word)
        except ValueError:
            raise PeerError


def _end_of_string(reader):
    word = reader["word"]
    reader["word"] = None
    reader["wanted"] = False
    if reader["key"]:
        reader["path"][-1] = str(word, "utf-8")
    elif word is not None:
        reader["agreed"] = str(word, "utf-8")


def _take(reader, part, fresh):
    # Of a word no more is kept than tells it from others: what is longer is none of those that count.
    if reader["wanted"]:
        fresh.extend(part)
    elif reader["word"] is not None and len(reader["word"]) + len(part) <= _MOST_WORD:
        reader["word"].extend(part)


def _escape(reader, byte, fresh):
    # RFC 8259, section 7.
    if reader["in"] == _ESCAPE:
        if byte == 117:
            reader["in"] = _HEX
            reader["hex"] = ""
            return
        found = _ESCAPED.find(bytes((byte,)))
        if found < 0 or found & 1:
            raise PeerError
        _take(reader, _ESCAPED[found + 1 : found + 2], fresh)
    else:
        reader["hex"] += chr(byte)
        if len(reader["hex"]) < 4:
            return
        try:
            code = int(reader["hex"], 16)
        except ValueError:
            raise PeerError
        high = reader["high"]
        reader["high"] = 0
        if 0xD800 <= code < 0xDC00:
            reader["high"] = code
        else:
            if 0xDC00 <= code < 0xE000:
                code = 0x10000 + (high - 0xD800 << 10) + code - 0xDC00 if high else 0xFFFD
            _take(reader, chr(code).encode(), fresh)
    reader["in"] = _STRING
