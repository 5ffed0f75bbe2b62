"""One request's way without a network: what it asks for, what it is told, and what a repetition gets.

Not for the words themselves: test_translate.py has those.
"""

import hashlib
import os
from typing import Any

import pytest

from broker_bridge import exchange, profile, translate
from broker_bridge.exchange import Call, Called, Discover, Exchange, World
from broker_bridge.oauth_api import Answer
from broker_bridge.refusals import Refused
from broker_bridge.settings import Resource
from latchpin.wire import messages, session
from latchpin.wire.bridge_side import CODES, NUMBERS
from latchpin.wire.messages import Message
from tests.bridge.driver import message
from tests.bridge.foreign import prompt

WORLD = World(
    "latchpin-device",
    [Resource(uri="https://mcp.example/mcp", scopes=["led:read"])],
    profile.load("reference"),
)
FIRST, AGAIN = (b"\x01", b"\x00"), (b"\x01", b"\x01")
CHALLENGE: dict[str, Any] = {"resource": 0, "scope": 0, "code_challenge": "c" * 43}
CALL: dict[str, Any] = {
    "resource": 0,
    "method": "tools/call",
    "name": "whoami",
    "access_token": "token",
    "dpop": "a.b.c",
    "block": 0,
    "body": b"{}",
}


def begin(one: Exchange, asked: Message, answers: tuple[bytes, bytes] = FIRST, now_s: float = 0):
    return one.begin(asked, hashlib.sha256(messages.pack(asked)).digest(), answers, WORLD, now_s)


def walk(way: Any, *came: Any) -> tuple[list[Any], translate.Told]:
    """What the way asked for, and what it told, when these came back."""
    wanted = []
    back = list(came)
    try:
        wanted.append(way.send(None))
        while True:
            thing = back.pop(0)
            wanted.append(way.throw(thing) if isinstance(thing, Exception) else way.send(thing))
    except StopIteration as end:
        return wanted, end.value


def call(one: Exchange, answered: bytes = b"", now_s: float = 0, **changes: Any) -> tuple[list[Any], translate.Told]:
    entry, way = begin(one, message("CALL", **{**CALL, **changes}), now_s=now_s)
    wanted, told = walk(way, Called(200, answered, None))
    one.finish(entry, told)
    return wanted, told


def error(told: Any) -> str:
    return CODES[told.message["error"]]


def test_a_new_request_walks_its_way_and_a_repeated_one_gets_the_same_reply_without_asking():
    one, asked = Exchange("lp-7f3k2m"), message("CHALLENGE", **CHALLENGE)
    entry, way = begin(one, asked)
    wanted, told = walk(way, Answer(status=403, content=prompt().body))
    assert [each.endpoint for each in wanted] == ["challenge"] and wanted[0].form["device_id"] == "lp-7f3k2m"
    one.finish(entry, told)
    again, known = begin(one, asked, AGAIN)
    assert again is entry and known is told and entry.answers == AGAIN


def test_a_repetition_while_it_runs_joins_it_and_takes_the_reply():
    one, asked = Exchange("lp-7f3k2m"), message("CHALLENGE", **CHALLENGE)
    entry, _ = begin(one, asked)
    assert begin(one, asked, AGAIN) == (entry, None)
    assert entry.answers == AGAIN


def test_a_rid_is_not_good_for_another_request():
    one = Exchange("lp-7f3k2m")
    begin(one, message("CHALLENGE", b"r" * 8, **CHALLENGE))
    entry, told = begin(one, message("CHALLENGE", b"r" * 8, **{**CHALLENGE, "code_challenge": "d" * 43}), AGAIN)
    assert error(told) == "invalid" and entry.answers == AGAIN


def test_a_session_has_two_requests_running_at_most():
    one = Exchange("lp-7f3k2m")
    entries = [begin(one, message("CHALLENGE", **CHALLENGE)) for _ in range(2)]
    _, told = begin(one, message("CHALLENGE", **CHALLENGE))
    assert error(told) == "try_later"
    assert isinstance(told, translate.Told)
    one.finish(entries[0][0], told)
    assert not isinstance(begin(one, message("CHALLENGE", **CHALLENGE))[1], translate.Told)


def test_only_the_newest_replies_are_kept_and_only_for_a_while():
    one = Exchange("lp-7f3k2m")
    asked = [message("DISCOVER", resource=5) for _ in range(exchange.KEPT_REPLIES + 1)]
    for each in asked:
        entry, way = begin(one, each)
        one.finish(entry, walk(way)[1])
    assert isinstance(begin(one, asked[-1])[1], translate.Told)
    assert not isinstance(begin(one, asked[0])[1], translate.Told)
    one.forget(exchange.KEEP_S + 1)
    assert not isinstance(begin(one, asked[-1])[1], translate.Told)


def test_discover_asks_for_the_resource_that_its_index_names():
    _, way = begin(Exchange("lp-7f3k2m"), message("DISCOVER", resource=0))
    wanted, told = walk(way, Refused("try_later", "connect", 9))
    assert wanted == [Discover(WORLD.resources[0])]
    assert error(told) == "try_later" and told.message["retry_after_s"] == 9 and told.why == "connect"


@pytest.mark.parametrize(("event", "word"), [(0, "started"), (1, "unpaired"), (2, "factory_reset"), (9, "event_unknown")])
def test_a_report_is_thanked_for_and_the_log_says_of_what(event: int, word: str):
    _, way = begin(Exchange("lp-7f3k2m"), message("REPORT", event=event))
    told = walk(way)[1]
    assert told.message.name == "RESULT" and told.why == word


def test_a_call_goes_out_once_and_its_answer_comes_in_blocks():
    one, body = Exchange("lp-7f3k2m"), os.urandom(64 * 1024)
    wanted, told = call(one, body)
    assert [type(each) for each in wanted] == [Call] and told.message["blocks"] == 22
    got = told.message["body"]
    for block in range(1, 22):
        wanted, told = call(one, block=block, dpop="another.proof.now")
        assert not wanted and told.message["block"] == block
        got += told.message["body"]
    assert got == body


@pytest.mark.parametrize("change", [{"body": b"{ }"}, {"name": "other"}, {"method": "tools/list"}, {"access_token": "other"}])
def test_a_later_block_of_another_call_is_not_given(change: dict[str, Any]):
    one = Exchange("lp-7f3k2m")
    call(one, bytes(4000))
    wanted, told = call(one, block=1, **change)
    assert not wanted and error(told) == "try_later" and told.why == "answer_gone"


def test_a_later_block_never_makes_a_second_call():
    one = Exchange("lp-7f3k2m")
    assert call(one, block=1)[1].why == "answer_gone"
    call(one, bytes(4000))
    assert call(one, block=2)[1].why == "block_number"
    one.forget(exchange.KEEP_S + 1)
    assert call(one, block=1)[1].why == "answer_gone"


def test_the_same_call_again_is_a_second_call():
    one = Exchange("lp-7f3k2m")
    assert [len(call(one, bytes(4000))[0]) for _ in range(2)] == [1, 1]


def test_a_call_without_a_proof_would_be_a_bearer_token_in_foreign_hands():
    fields = {name: value for name, value in CALL.items() if name != "dpop"}
    wanted, told = walk(begin(Exchange("lp-7f3k2m"), message("CALL", **fields))[1])
    assert not wanted and error(told) == "invalid" and told.why == "call_without_dpop"


@pytest.mark.parametrize("length", [0, 1, 3071, 3072, 3073, 6144, 6145])
def test_blocks_are_counted_without_an_empty_last_one(length: int):
    _, told = call(Exchange("lp-7f3k2m"), bytes(length))
    assert told.message["blocks"] == max(1, (length + 3071) // 3072)


def test_a_reply_carries_clock_and_nonce_of_the_moment_it_leaves():
    told = walk(begin(Exchange("lp-7f3k2m"), message("REPORT", event=0))[1])[1]
    one, other = (messages.unpack(exchange.sealable(told, now_s, nonce)) for now_s, nonce in ((7, None), (8, "n")))
    assert (one["now"], one.get("dpop_nonce")) == (7, None) and (other["now"], other["dpop_nonce"]) == (8, "n")


def test_use_dpop_nonce_without_a_nonce_is_no_answer():
    told = translate.Told(Message("ERROR", {"rid": bytes(8), "error": NUMBERS["use_dpop_nonce"]}))
    assert messages.unpack(exchange.sealable(told, 1, "n"))["dpop_nonce"] == "n"
    with pytest.raises(Refused, match="as_nonce_missing"):
        exchange.sealable(told, 1, None)


def test_what_fits_into_a_frame_is_known_to_the_byte():
    fields = {"rid": bytes(8), "access_token": "a" * 2048, "token_type": "DPoP", "ttl_s": 300}
    alone = len(exchange.sealable(translate.Told(Message("TOKENS", fields)), 1_790_000_000, None))
    spare = exchange.MOST_PLAINTEXT - alone - 4  # key and head of one more text
    whole = translate.Told(Message("TOKENS", {**fields, "refresh_token": "r" * spare}))
    plaintext = exchange.sealable(whole, 1_790_000_000, None)
    sealed = session.Session(bytes(16), bytes(8), b"\x01", b"\x02", "lp-7f3k2m", "bridge")
    for _ in range(300):  # past the first two-byte PIV
        frame, _ = sealed.seal(plaintext, FIRST)
        assert len(frame) == 4096
    with pytest.raises(Refused, match="as_too_long_together"):
        exchange.sealable(translate.Told(Message("TOKENS", {**fields, "refresh_token": "r" * (spare + 1)})), 1_790_000_000, None)


def test_nothing_on_the_way_prints_a_secret():
    shown = repr([Call(WORLD.resources[0], "m", "n", b"SECRET", "SECRET", "SECRET"), Called(200, b"SECRET", "SECRET")])
    shown += repr(translate.Ask("token", {"code": "SECRET"}, "SECRET")) + repr(Answer(status=200, content={"a": "SECRET"}))
    shown += repr(translate.Told(Message("CODE", {"rid": bytes(8), "code": "SECRET"})))
    assert "SECRET" not in shown
