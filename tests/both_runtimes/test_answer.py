"""Answers of MCP servers, read in pieces: whatever the pieces, the text is the one that `json.loads` finds.

Not for calls: test_agent.py and test_agent_life.py.
"""

import json

from latchpin.agent import answer
from latchpin.wire.errors import PeerError


def read(data, size):
    reader = answer.new()
    text = b""
    for at in range(0, len(data), size):
        text += answer.feed(reader, data[at : at + size])
    return reader, str(text, "utf-8")


def reply(result):
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def content(*texts):
    return {"content": [{"type": "text", "text": text} for text in texts]}


NOTE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"message": "half", "content": [{"text": "no"}]}}
PING = {"jsonrpc": "2.0", "method": "ping", "id": "s-1"}

CASES = (
    (reply(content("blinked")), "blinked"),
    (reply(content("one", "two\nthree", "")), "one\ntwo\nthree\n"),
    (reply(content('a "b" \\ / \b\f\n\r\t', "\u00e9\u20ac\U0001f600")), 'a "b" \\ / \b\f\n\r\t\n\u00e9\u20ac\U0001f600'),
    (reply({"structuredContent": {"text": "no", "result": {"content": [{"text": "no"}]}}, "content": []}), ""),
    (reply({"content": [{"type": "image", "data": "AAAA"}, {"type": "text", "text": "yes"}], "isError": False}), "yes"),
    (reply({"contents": [{"uri": "a", "text": "alpha"}, {"uri": "b", "blob": "AA=="}]}), "alpha"),
    (reply({"tools": [{"name": "a", "inputSchema": {"properties": {"name": {"type": "string"}}}}, {"name": "b"}]}), "a\nb"),
    (reply({"content": [], "_meta": {"n": -1.5e3, "t": True, "z": None, "o": {}, "l": [[], [1, [2]]]}}), ""),
)


def spellings(message):
    yield json.dumps(message).encode()
    yield b" \r\n" + json.dumps(message).encode().replace(b"{", b"{ \n").replace(b",", b" ,\t") + b"\n"


def test_the_text_is_found_however_the_answer_is_cut():
    for message, wanted in CASES:
        for data in spellings(message):
            for size in (1, 2, 3, 7, 64, 4096):
                reader, text = read(data, size)
                assert text == wanted and answer.found(reader)[0] and not answer.found(reader)[1], (message, size)


# proves: MCP-1-a
def test_of_an_event_stream_the_response_counts_and_what_comes_before_it_does_not():
    for ending in ("\n", "\r\n"):
        for message, wanted in CASES:
            lines = [
                ": ping",
                "",
                "event: message",
                "id: 1",
                "data: " + json.dumps(NOTE),
                "",
                "retry: 5",
                "data:" + json.dumps(PING),
            ]
            lines += ["", "event: message", "data: " + json.dumps(message), "", ""]
            for size in (1, 5, 64, 4096):
                reader, text = read(ending.join(lines).encode(), size)
                assert text == wanted and answer.found(reader)[0], (message, size)


def test_failure_is_told_apart_from_success():
    reader, text = read(json.dumps(reply({"isError": True, "content": [{"type": "text", "text": "no such LED"}]})).encode(), 9)
    assert answer.found(reader)[1] and answer.found(reader)[0] and text == "no such LED"
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32022, "message": "unsupported", "data": {"supported": ["x"]}}}
    reader, text = read(json.dumps(error).encode(), 9)
    assert answer.found(reader)[1] and answer.found(reader)[0] and answer.found(reader)[2] == -32022 and text == "unsupported"


def test_the_version_that_was_agreed_on_is_found():
    body = json.dumps(reply({"protocolVersion": "2025-06-18", "serverInfo": {"name": "x", "protocolVersion": "no"}})).encode()
    assert answer.found(read(body, 3)[0])[3] == "2025-06-18"


def test_what_is_no_response_is_never_done():
    for body in (b"", b"<html>", b"{}", b"data: x", b"\xff", b'{"result": 1}', b'{"method": "x"}', b'{"result": {"content": ['):
        try:
            done = answer.found(read(body, 4)[0])[0]
        except (PeerError, ValueError):
            continue
        assert not done, body


def test_what_is_no_json_is_refused():
    for body in (b'{"a": "\\x"}', b'{"a": "\\uzzzz"}', b'{"error": {"code": x}}', b"{]", b'{"a": [}', b"{} x", b"{}," + b"{}"):
        try:
            read(body, 4)
        except PeerError:
            continue
        raise AssertionError(body)
    try:
        read(b'{"a":' + b"[" * 40, 4096)
    except PeerError:
        pass
    else:
        raise AssertionError("deeper than a stack")


def test_a_half_pair_of_surrogates_becomes_the_replacement_character():
    body = b'{"result": {"content": [{"text": "\\ud83d\\ude00 \\udc00"}]}}'
    assert read(body, 5)[1] == "\U0001f600 \ufffd"


def test_no_more_is_kept_of_an_answer_than_of_a_word():
    reader = answer.new()
    answer.feed(reader, b'{"result": {"' + b"k" * 100)
    for _ in range(100):
        assert answer.feed(reader, b"k" * 500) == b""
    answer.feed(reader, b'": "')
    for _ in range(100):
        assert answer.feed(reader, b"v" * 500) == b""
    assert max([len(kept) for kept in reader if isinstance(kept, (bytes, bytearray, str, list))]) <= 32
