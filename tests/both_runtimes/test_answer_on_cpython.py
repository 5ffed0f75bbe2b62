"""The reader of answers against Python's own JSON, on answers that hypothesis makes up and cuts where it likes.

Not on the chip's Python: hypothesis does not run there; test_answer.py does.
"""

import json

from hypothesis import given
from hypothesis import strategies as st

from latchpin.agent import answer
from latchpin.wire.errors import PeerError

WORDS = st.sampled_from(["result", "content", "contents", "text", "tools", "name", "error", "isError", "params", "x", ""])
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | TEXT, inner, max_size=4), max_leaves=12
)
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}, optional={"extra": VALUES}), max_size=4)
RESULTS = st.fixed_dictionaries(
    {"content": PARTS}, optional={"isError": st.booleans(), "_meta": VALUES, "structuredContent": VALUES}
)


@st.composite
def cuts(draw, data: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.data(), RESULTS, st.booleans(), st.booleans())
def test_the_text_of_any_answer_is_what_json_finds(data, result, ascii_only, events):
    message = {"jsonrpc": "2.0", "id": 1, "result": result}
    body = json.dumps(message, ensure_ascii=ascii_only).encode()
    if events:
        body = b"event: message\ndata: " + body + b"\n\n"
    reader = answer.new()
    text = b"".join([bytes(answer.feed(reader, piece)) for piece in data.draw(cuts(body))])
    assert text.decode() == "\n".join(part["text"] for part in result["content"])
    assert answer.found(reader)[0] and answer.found(reader)[1] == result.get("isError", False)


@given(st.data(), st.binary(max_size=200) | VALUES.map(lambda value: b"{" + json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused_and_never_anything_else(data, body):
    reader = answer.new()
    try:
        for piece in data.draw(cuts(body)):
            answer.feed(reader, piece)
    except (PeerError, ValueError):
        pass
