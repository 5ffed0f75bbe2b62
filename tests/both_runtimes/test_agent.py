"""The agent from the outside: events in, effects out, against a bridge that really seals. Every row of the table fires here, or
in test_agent_life.py.

Not for networks: journeys/ has those.
"""

import binascii
import json

from agent_world import ASK_PIN, OFFER, PIN, RESOURCE, World, untaken
from bridge_side import BridgeSide, Identity

from latchpin.agent.events import Event
from latchpin.agent.pin_entry import PinEntry
from latchpin.wire import messages, topics


# proves: FIPA-5.2.2.1.1-a
def test_the_whole_way_from_boot_to_the_answer_of_a_tool():
    world = World(settings={"scope": 1, "resource": 2})
    assert world.do(Event("Started"))[1:] == [Event("Connect", after_ms=0)] and world.code == "connecting"
    world.do(Event("LinkUp"))
    assert [effect.name for effect in world.effects] == ["Show", "Publish"]
    assert world.effects[1].topic == topics.topic("lp-7f3k2m", "hello")
    world.shake()
    world.reply("OFFER", **OFFER)
    first = world.request()
    assert first.name == "CHALLENGE" and first["scope"] == 1 and first["resource"] == 2
    assert len(first["code_challenge"]) == 43 and first.get("answers") is None and first.get("auth_session") is None
    world.prompt()
    assert world.state == "WAITING" and world.code == "waiting"
    assert world.shown[-1].text.startswith("Ask for a PIN; word: amber fox; until ")
    world.type(PIN)
    assert world.shown[-1].entry == "***-***-***"
    world.type("#")
    second = world.request()
    assert second["answers"] == {"pin": PIN} and second["auth_session"] == "session-1"
    world.reply("CODE", code="code-1", auth_session="session-2")
    third = world.request()
    assert third.name == "TOKEN" and third["code"] == "code-1" and len(third["code_verifier"]) == 43
    world.tokens()
    assert world.state == "READY" and world.code == "ready"
    world.do(Event("Call", tool="blink", arguments={"times": 3}))
    fourth = world.request()
    assert fourth.name == "CALL" and fourth["access_token"] == "access-1" and fourth["name"] == "blink"
    world.result()
    assert world.only("Answer") == Event("Answer", ok=True, text="blinked", whole=True)
    assert world.state == "READY" and world.code == "answer"


def test_a_key_shows_a_mark_and_never_a_digit():
    world = World().wait_for_pin()
    asked = world.shown[-1].text
    world.type("12")
    assert world.shown[-1].text == asked and world.shown[-1].entry == "**"
    assert repr(Event("KeyPressed", key="1")) == "KeyPressed(.)"
    world.type("*")
    assert world.shown[-1].entry == "*"


def test_a_typing_error_spends_no_attempt_and_leaves_the_device():
    world = World().wait_for_pin()
    world.type(PIN[:8] + str((int(PIN[8]) + 1) % 10) + "#")
    assert world.code == "typo" and not [e for e in world.effects if e.name == "Publish"]
    world.type("12#")
    assert world.code == "short" and world.state == "WAITING"


def test_a_key_that_types_nothing_shows_the_state_again():
    world = World().answer()
    world.request()
    world.error("wrong_answer", tries_left=3)
    wrong = world.shown[-1]
    world.do(Event("KeyPressed", key="A"))
    assert world.effects == [wrong] and "3 tries left" in wrong.text
    world.type("12")
    world.do(Event("KeyPressed", key="D"))
    assert world.shown[-1].entry == "**" and len(world.effects) == 1


def test_an_idle_entry_is_wiped_without_spending_an_attempt():
    world = World().wait_for_pin()
    world.type("123")
    world.wait()
    assert world.code == "waiting" and world.shown[-1].entry == "" and world.state == "WAITING"


def test_an_idle_entry_does_not_postpone_the_end_of_its_prompt():
    world = World().wait_for_pin()
    ends_ms = world.agent.deadline_ms
    for keys in ("123", "A", "4*"):
        world.type(keys)
        assert world.agent.deadline_ms == world.now_ms + 30_000
        world.wait()
        assert world.state == "WAITING" and world.shown[-1].entry == "" and world.agent.deadline_ms == ends_ms
    world.wait()
    assert world.state == "CHALLENGING"


# proves: FIPA-9.6.2-a
def test_a_prompt_that_lapses_is_asked_for_again_without_an_answer():
    world = World().wait_for_pin()
    world.wait()
    assert world.state == "CHALLENGING"
    request = world.request()
    assert request["auth_session"] == "session-1" and request.get("answers") is None


def test_several_inputs_are_asked_one_after_the_other():
    world = World().challenge()
    world.request()
    world.prompt(inputs=({"name": "name", "kind": 1, "max": 20, "label": "Name"}, {"name": "otp", "kind": 0, "min": 6, "max": 6}))
    world.type("ada#")
    assert world.state == "WAITING" and world.shown[-1].entry == ""
    world.type("123456#")
    assert world.request()["answers"] == {"name": "ada", "otp": "123456"}


# proves: FIPA-5.2.2-b, FIPA-5.3.1-c
def test_a_wrong_answer_tells_the_tries_left_and_asks_again_with_the_new_auth_session():
    world = World().answer()
    world.request()
    world.error("wrong_answer", tries_left=4, auth_session="session-2")
    assert world.state == "WAITING" and world.shown[-1].text.startswith("4 tries left")
    world.type(PIN + "#")
    assert world.request()["auth_session"] == "session-2"


def test_an_expired_pin_is_asked_for_anew():
    world = World().answer()
    world.request()
    world.error("expired", auth_session="session-2")
    assert world.state == "WAITING" and world.code == "expired"


def test_a_refusal_without_a_prompt_begins_afresh():
    for code in ("expired", "wrong_answer", "invalid_session"):
        world = World().challenge()
        world.request()
        world.error(code)
        assert world.state == "CHALLENGING"
        assert world.request().get("auth_session") is None


# proves: FIPA-9.6.2-a
def test_an_invalid_session_begins_a_new_pairing_with_a_new_verifier():
    world = World().answer()
    first = world.bridge.requests[-1]
    world.request()
    world.error("invalid_session")
    request = world.request()
    assert request.get("auth_session") is None and request["code_challenge"] != first.get("code_challenge")


def test_a_locked_device_waits_and_asks_again_by_itself_or_by_a_key():
    world = World().answer()
    world.request()
    world.error("locked", retry_after_s=120)
    assert world.state == "LOCKED" and world.code == "locked" and world.agent.deadline_ms == 120_000
    until = (world.agent._epoch_ms + 120_000) // 60_000
    assert "until %02d:%02d UTC" % (until // 60 % 24, until % 60) in world.shown[-1].text
    world.wait()
    assert world.state == "DISCOVERING"
    world = World().challenge()
    world.request()
    world.error("locked")
    world.do(Event("KeyPressed", key="7"))
    assert world.state == "LOCKED" and world.code == "locked"
    world.do(Event("KeyPressed", key="#"))
    assert world.state == "DISCOVERING"


def test_each_final_refusal_stops_with_its_own_code_until_a_person_asks_again():
    for code in ("denied", "needs_browser", "not_first_party", "unknown_device", "invalid", "internal"):
        world = World().answer()
        request = world.request()
        world.error(code)
        assert world.state == "STOPPED" and world.code == code
        request_id = "".join(["%02x" % byte for byte in request["rid"][:4]])
        assert request_id in world.shown[-1].text, "the screen and the bridge's log name the same request"
        world.do(Event("KeyPressed", key="#"))
        assert world.state == "DISCOVERING"


def test_a_reply_of_the_wrong_kind_stops_instead_of_waiting_for_ever():
    world = World().open()
    world.tokens()
    assert world.state == "STOPPED" and world.code == "internal"


def test_an_authorization_server_without_a_challenge_endpoint_needs_a_browser():
    world = World().challenge(challenge_endpoint="")
    assert world.state == "STOPPED" and world.code == "needs_browser"


def test_an_authorization_server_without_dpop_is_refused_unless_settings_allow_bearer_tokens():
    world = World().challenge(dpop_supported=False)
    assert world.state == "STOPPED" and world.code == "bearer_only"
    world = World(settings={"allow_bearer": True}).challenge(dpop_supported=False)
    assert world.state == "CHALLENGING" and world.request().get("dpop") is None


def test_a_bearer_token_never_goes_through_the_relay():
    world = World(settings={"allow_bearer": True}).challenge(dpop_supported=False)
    world.request()
    world.prompt()
    world.type(PIN + "#")
    world.request()
    world.reply("CODE", code="code-1")
    world.request()
    world.reply("TOKENS", access_token="access-1", token_type="Bearer", ttl_s=300)
    world.do(Event("Call", tool="blink", arguments={}))
    assert not [e for e in world.effects if e.name == "Publish"]
    assert world.only("Answer").ok is False and world.state == "READY"


def test_a_wanted_nonce_is_signed_at_once_and_not_for_ever():
    world = World().challenge()
    first = world.request()
    for number in range(2):
        world.error("use_dpop_nonce", dpop_nonce="nonce-%d" % number)
        again = world.request()
        assert again["dpop"] != first["dpop"] and again["rid"] != first["rid"]
        assert again["code_challenge"] == first["code_challenge"]
    world.error("use_dpop_nonce", dpop_nonce="nonce-9")
    assert world.state == "RESTING" and world.code == "try_later"


def test_a_busy_server_is_asked_again_after_as_long_as_it_says():
    world = World().challenge()
    world.request()
    world.error("try_later", retry_after_s=7)
    assert world.state == "RESTING" and world.agent.deadline_ms == 7000 and "7 s" in world.shown[-1].text
    world.wait()
    assert world.state == "DISCOVERING"


def test_an_unanswered_request_is_repeated_once_with_its_rid_then_a_new_session_opens():
    world = World().challenge()
    first = world.request()
    world.wait()
    again = world.request()
    assert again["rid"] == first["rid"] and again == first
    world.wait()
    assert world.state == "GREETING"


def test_a_late_reply_to_the_first_transmission_counts_after_the_second_went_out():
    world = World().challenge()
    world.request()
    first = world.bridge._request
    world.wait()
    world.request()
    world.bridge._request = first
    world.prompt()
    assert world.state == "WAITING"


# proves: FIPA-5.3.1-c
def test_a_pin_never_crosses_sessions():
    world = World().answer()
    world.request()
    world.wait()
    world.request()
    world.wait()
    assert world.state == "GREETING"
    world.shake()
    world.reply("OFFER", **OFFER)
    request = world.request()
    assert request["auth_session"] == "session-1" and request.get("answers") is None
    world.prompt(auth_session="session-2")
    assert world.state == "WAITING" and world.shown[-1].entry == ""


# proves: FIPA-5.3.1-c
def test_a_lost_code_is_fetched_again_by_the_auth_session_and_costs_no_pin():
    world = World().redeem()
    world.request()
    world.wait()
    world.request()
    world.wait()
    world.shake()
    world.reply("OFFER", **OFFER)
    request = world.request()
    assert request.name == "CHALLENGE" and request["auth_session"] == "session-2" and request.get("answers") is None
    world.reply("CODE", code="code-2")
    assert world.request()["code"] == "code-2"
    world.error("invalid_grant")
    assert world.state == "RESTING"
    world.wait()
    assert world.state == "DISCOVERING"


def test_a_hint_that_the_session_is_unknown_counts_only_while_an_answer_is_awaited():
    world = World().wait_for_pin()
    world.do(Event("Received", payload=b"\x81\x00"))
    assert world.state == "WAITING" and world.agent.dropped == 1
    world = World().answer()
    world.do(Event("Received", payload=b"\x81\x00"))
    assert world.state == "GREETING"


def test_a_refused_or_silent_handshake_rests_and_tries_again():
    world = World()
    world.do(Event("Started"))
    world.do(Event("LinkUp"))
    world.do(Event("Received", payload=b"\x81\x00"))
    assert world.state == "RESTING" and world.code == "refused"
    world.wait()
    assert world.state == "GREETING"
    world.wait()
    assert world.state == "RESTING" and world.code == "silence"
    world.wait()
    message_2 = world.bridge.message_2(world.sent())
    world.do(Event("Received", payload=message_2[:20] + bytes((message_2[20] ^ 1,)) + message_2[21:]))
    assert world.state == "RESTING" and world.code == "refused"
    world.wait()
    world.do(Event("Received", payload=world.bridge.message_2(world.sent())))
    assert world.state == "PROVING"
    world.wait()
    assert world.state == "RESTING"


def test_a_bridge_with_another_key_learns_nothing():
    world = World(identity=Identity(BridgeSide()))
    world.do(Event("Started"))
    world.do(Event("LinkUp"))
    world.do(Event("Received", payload=world.bridge.message_2(world.sent())))
    assert world.state == "RESTING" and world.code == "refused"
    assert not [e for e in world.effects if e.name == "Publish"]


def test_a_lost_link_is_taken_up_again_after_a_growing_wait():
    world = World().wait_for_pin()
    world.do(Event("LinkDown", code="refused", reason=0x87))
    assert world.state == "OFFLINE" and world.code == "offline" and "0x87" in world.shown[-1].text
    assert 1000 <= world.only("Connect").after_ms <= 3000
    longest = 0
    for _ in range(40):
        world.do(Event("LinkDown", code="tcp", reason=None))
        longest = max(longest, world.only("Connect").after_ms)
    assert 3000 < longest <= 300_000
    world.do(Event("KeyPressed", key="5"))
    assert world.code == "offline"
    world.do(Event("LinkUp"))
    assert world.state == "GREETING"


def test_malformed_payloads_are_dropped_and_counted():
    world = World().wait_for_pin()
    for payload in (b"", b"\xff", b"\x80", b"\x81\x01", b"\x83\x40\xa0\x40", bytes(64), b"\xa1\x00\x01", b"\x81\x00"):
        assert world.do(Event("Received", payload=payload)) == []
    assert world.agent.dropped == 8 and world.state == "WAITING"


def test_a_reply_cannot_answer_another_request():
    world = World().challenge()
    world.request()
    old = world.bridge.reply("PROMPT", auth_session="s", inputs=[ASK_PIN], ttl_s=600)
    world.wait()
    world.request()
    world.prompt()
    assert world.state == "WAITING"
    world.type(PIN + "#")
    world.do(Event("Received", payload=old))
    assert world.state == "ANSWERING" and world.agent.dropped == 1


def test_the_token_is_renewed_before_it_ends_and_a_rotated_one_is_kept():
    world = World().ready(ttl_s=1000)
    start = world.now_ms
    world.wait()
    assert 800_000 <= world.now_ms - start <= 900_000 and world.state == "REFRESHING"
    assert world.request()["refresh_token"] == "refresh-1"
    world.tokens(refresh_token="refresh-2")
    assert world.state == "READY"
    world.wait()
    assert world.request()["refresh_token"] == "refresh-2"


def test_a_lost_renewal_is_repeated_in_the_next_session_with_the_same_token_and_key():
    world = World().ready()
    world.wait()
    world.request()
    world.wait()
    world.request()
    world.wait()
    assert world.state == "GREETING"
    world.shake()
    world.now_ms += 300_000
    world.reply("OFFER", **OFFER)
    assert world.state == "REFRESHING" and world.request()["refresh_token"] == "refresh-1"


def test_a_revoked_family_leads_back_to_pairing_and_says_why():
    world = World().ready()
    world.wait()
    world.request()
    world.error("invalid_grant")
    assert world.state == "CHALLENGING" and [show.code for show in world.shown[-2:]] == ["invalid_grant", "asking"]
    request = world.request()
    assert request.get("auth_session") is None and len(request["code_challenge"]) == 43


# proves: FIPA-6.2-a
def test_a_renewal_that_wants_the_human_asks_the_human_and_begins_with_a_new_verifier():
    world = World().ready()
    world.wait()
    world.request()
    world.prompt(auth_session="session-9")
    assert world.state == "WAITING"
    world.type(PIN + "#")
    request = world.request()
    assert request["auth_session"] == "session-9" and len(request["code_challenge"]) == 43
    world.reply("CODE", code="code-9")
    assert len(world.request()["code_verifier"]) == 43


def test_without_a_refresh_token_an_ending_token_leads_to_a_new_pairing():
    world = World().ready(refresh_token=None)
    world.wait()
    assert world.state == "CHALLENGING" and world.request().get("auth_session") is None


def test_a_session_that_is_over_is_replaced_before_anything_is_asked():
    day = 24 * 3600 * 1000
    world = World().ready(ttl_s=200_000)
    world.now_ms += day
    world.do(Event("Call", tool="blink", arguments={}))
    assert world.state == "GREETING"
    world.shake()
    world.reply("OFFER", **OFFER)
    assert world.state == "CALLING", "the call was not forgotten"
    world = World().ready(ttl_s=200_000)
    world.now_ms += day
    world.wait()
    assert world.state == "GREETING"
    world = World().wait_for_pin()
    world.type(PIN)
    world.now_ms += day
    world.type("#")
    assert world.state == "GREETING"
    world = World().wait_for_pin()
    world.now_ms += day
    world.wait()
    assert world.state == "GREETING"
    for code in ("locked", "denied"):
        world = World().answer()
        world.request()
        world.error(code)
        world.now_ms += day
        world.do(Event("KeyPressed", key="#"))
        assert world.state == "GREETING"
    world = World().answer()
    world.request()
    world.error("locked", retry_after_s=2 * 24 * 3600)
    world.now_ms += day
    world.wait()
    assert world.state == "GREETING"


def test_a_refused_token_is_renewed_once_and_the_call_repeated():
    world = World().call()
    world.request()
    world.result(401, b"")
    assert world.state == "REFRESHING"
    world.request()
    world.tokens("refresh-2")
    assert world.state == "CALLING"
    world.request()
    world.result(401, b"")
    assert world.state == "READY" and world.code == "mcp_refused" and "401" in world.shown[-1].text


def test_a_refused_token_without_a_refresh_token_leads_to_pairing():
    world = World().ready(refresh_token=None)
    world.do(Event("Call", tool="blink", arguments={}))
    world.request()
    world.result(401, b"")
    assert world.state == "CHALLENGING"


def test_a_nonce_of_the_mcp_server_is_signed_and_stays_apart_from_that_of_the_authorization_server():
    world = World().call()
    world.request()
    world.result(401, b"", www_authenticate='DPoP error="use_dpop_nonce"', dpop_nonce="rs-nonce")
    assert world.state == "CALLING"
    world.request()
    world.result()
    assert world.state == "READY" and world.agent.nonces == [None, "rs-nonce"]


def test_a_long_answer_comes_in_blocks():
    text = "x" * 5000
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}]}}).encode()
    world = World().call()
    first = world.request()
    assert first["block"] == 0 and first["dpop"]
    world.result(body=body[:3000], block=0, blocks=2)
    second = world.request()
    assert second["block"] == 1 and second.get("dpop") is None and second["rid"] != first["rid"]
    for field in ("method", "name", "body", "access_token", "resource"):
        assert second[field] == first[field], "the bridge finds the call again by these"
    world.result(body=body[3000:], block=1, blocks=2)
    assert b"".join(world.heard) == text.encode()
    assert world.only("Answer") == Event("Answer", ok=True, text="x" * 2048, whole=False)


def test_an_answer_as_an_event_stream_is_read_too():
    result = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
    body = "event: message\r\ndata: " + json.dumps(note) + "\r\n\r\nevent: message\r\ndata: " + json.dumps(result) + "\r\n\r\n"
    world = World().call()
    world.request()
    world.result(body=body.encode())
    assert world.only("Answer") == Event("Answer", ok=True, text="done", whole=True)


def test_what_is_not_mcp_ends_the_call_and_says_so():
    for body in (b"<html>", b"{}", b"[]", b"data: x", b"\xff", b'{"result": 1}'):
        world = World().call()
        world.request()
        world.result(body=body)
        assert world.code == "mcp_failed" and world.only("Answer").ok is False


def test_straight_over_https_the_token_goes_in_the_headers_and_nowhere_else():
    world = World(settings={"route": "direct"}).call()
    post = world.only("Post")
    lines = post.headers.split("\r\n")
    assert post.url == RESOURCE and "Authorization: DPoP access-1" in lines and lines[-1] == ""
    assert "Mcp-Method: tools/call" in lines and "Mcp-Name: blink" in lines and lines[-3].startswith("DPoP: ")
    assert "access-1" not in repr(post)
    world.do(
        Event(
            "HttpAnswered",
            status=401,
            headers={"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n1"},
            body=b"",
            last=True,
        )
    )
    assert world.only("Post").headers != post.headers
    world.do(Event("HttpFailed", code="tls"))
    assert world.only("Answer") == Event("Answer", ok=False, text="tls", whole=True) and world.state == "READY"
    world.do(Event("HttpAnswered", status=200, headers={}, body=b"", last=True))
    assert world.effects == [], "an answer that nobody waits for"


# proves: FIPA-9.5.1-a, FIPA-9.5.1-b
def test_every_challenge_token_request_and_call_has_a_proof_of_its_own_for_where_it_goes():
    world = World().call()
    world.request()
    world.result(401, b"")
    world.request()
    signed = [request for request in world.bridge.requests if request.name != "DISCOVER"]
    assert [request.name for request in signed] == ["CHALLENGE", "CHALLENGE", "TOKEN", "CALL", "TOKEN"]
    endpoints = [OFFER["challenge_endpoint"]] * 2 + [OFFER["token_endpoint"], RESOURCE, OFFER["token_endpoint"]]
    claims = []
    for request in signed:
        text = request["dpop"].split(".")[1].replace("-", "+").replace("_", "/")
        claims.append(json.loads(binascii.a2b_base64(text + "=" * (-len(text) % 4))))
    assert [each["htu"] for each in claims] == endpoints and [each["htm"] for each in claims] == ["POST"] * 5
    assert len(set([each["jti"] for each in claims])) == 5


def test_the_tool_of_the_settings_is_called_once_after_boot_and_then_for_each_submit():
    world = World(settings={"call": {"tool": "whoami"}}).ready()
    assert world.state == "CALLING" and world.request()["name"] == "whoami"
    world.result()
    assert world.state == "READY" and world.code == "answer"
    world.do(Event("KeyPressed", key="5"))
    assert world.state == "READY" and world.code == "answer"
    world.do(Event("KeyPressed", key="#"))
    assert world.state == "CALLING" and world.request()["name"] == "whoami"


def test_without_a_tool_in_the_settings_submit_shows_the_state_again():
    world = World().ready()
    world.do(Event("KeyPressed", key="#"))
    assert world.state == "READY" and world.code == "ready" and len(world.effects) == 1


def test_the_journal_brings_an_authorization_back_after_a_power_cut():
    world = World().ready()
    after = World(kept=world.kept, bridge=world.bridge, identity=world.identity).challenge()
    assert after.state == "REFRESHING" and after.request()["refresh_token"] == "refresh-1"
    waiting = World().wait_for_pin()
    after = World(kept=waiting.kept, bridge=waiting.bridge, identity=waiting.identity).challenge()
    request = after.request()
    assert request["auth_session"] == "session-1" and request.get("answers") is None


def test_key_and_verifier_are_journalled_before_the_server_hears_of_them():
    world = World().challenge()
    assert [effect.name for effect in world.effects][-2:] == ["Store", "Publish"]
    first = world.request()
    after = World(kept=world.kept, bridge=world.bridge, identity=world.identity).challenge()
    again = after.request()
    assert (
        again["code_challenge"] == first["code_challenge"] and after.agent.tokens.dpop_private == world.agent.tokens.dpop_private
    )
    after.prompt()
    after.type(PIN + "#")
    assert [effect.name for effect in after.effects].count("Store") == 0, "nothing new, so no wear"


def test_a_journal_that_is_not_ours_is_dropped_and_pairing_begins():
    world = World(kept=b"\x01\x02").challenge()
    assert world.state == "CHALLENGING" and world.agent.dropped == 1


def test_the_pin_and_the_access_token_are_never_journalled():
    world = World().ready()
    assert b"access-1" not in world.kept and PIN.encode() not in world.kept and b"refresh-1" in world.kept


def test_the_clock_follows_sealed_replies_and_never_goes_back_by_more_than_a_day():
    world = World().wait_for_pin()
    epoch_ms = world.agent._epoch_ms
    world.type(PIN + "#")
    world.request()
    world.error("try_later", now=world.agent.tokens.seen_s - 90_000)
    assert world.agent._epoch_ms == epoch_ms
    assert not [e for e in world.effects if e.name == "SetClock"]


def test_text_from_outside_cannot_drive_the_terminal():
    world = World().challenge()
    world.request()
    world.reply("PROMPT", auth_session="s", inputs=[ASK_PIN], message="\x1b[2Jhello\n", ttl_s=600)
    assert "\x1b" not in world.shown[-1].text and "\n" not in world.shown[-1].text


def test_no_value_prints_a_secret():
    world = World().ready()
    text = repr(world.agent.tokens) + repr(world.agent.talk) + repr(world.agent.entry) + repr(world.bridge.requests)
    for secret in (PIN, "access-1", "refresh-1", "code-1", "session-1"):
        assert secret not in text
    assert "refresh" not in repr(Event("Store", data=b"refresh")) and "tok" not in repr(
        Event("HttpAnswered", status=200, headers={}, body=b"tok")
    )


def test_z_every_row_of_a_pairing_and_of_calls_was_taken_and_names_what_exists():
    assert untaken(life=False) == []


def test_no_more_is_typed_than_an_answer_on_the_wire_may_hold():
    entry = PinEntry({"name": "pin", "kind": 1})
    did = [entry.press("1") for _ in range(messages.MAX_ANSWER + 1)]
    assert did[-2:] == ["typed", "ignored"]
