"""A device's life after its first token, and where there is no challenge endpoint: step-up, device grant, unpairing, MCP's eras.

Not the pairing: test_agent.py.
"""

import json

from agent_world import OFFER, PIN, RESOURCE, World, untaken
from bridge_side import BridgeSide, Identity

from latchpin.agent.events import Event

DEVICE_GRANT = {"device_authorization_endpoint": "https://as.example/device_authorization"}
REVOCATION = {"revocation_endpoint": "https://as.example/revoke"}
CALL = Event("Call", tool="blink", arguments={})


class Again(World):
    """The same device after a power cut."""

    def __init__(self, before):
        World.__init__(self, settings=before.settings, kept=before.kept, bridge=before.bridge, identity=before.identity)


def granting(**offer):
    """A device that shows a user code."""
    offer.update(DEVICE_GRANT)
    world = World().challenge(**dict({"challenge_endpoint": ""}, **offer))
    assert world.state == "AUTHORIZING" and world.request().name == "DEVICE_CODE"
    show(world)
    return world


def show(world, user_code="WDJB-MJHT", interval_s=5, **more):
    uri = "https://as.example/device"
    world.reply("SHOW", device_code="dc-1", user_code=user_code, verification_uri=uri, interval_s=interval_s, ttl_s=600, **more)


def met(before):
    """The next session, up to its OFFER."""
    before.do(Event("LinkUp"))
    return before.shake()


# RFC 8628


# proves: RFC8628-3.3-a
def test_without_a_challenge_endpoint_a_code_is_shown_with_where_to_enter_it_and_until_when():
    world = World().challenge(challenge_endpoint="", **DEVICE_GRANT)
    asked = world.request()
    assert asked.name == "DEVICE_CODE" and asked["dpop"] and asked["scope"] == 0
    show(world, verification_uri_complete="https://as.example/device?user_code=WDJB-MJHT")
    assert world.state == "SHOWING" and world.code == "user_code"
    assert world.shown[-1].text.startswith("WDJB-MJHT at https://as.example/device; until ")
    assert world.shown[-1].qr == "https://as.example/device?user_code=WDJB-MJHT"
    assert granting().shown[-1].qr == "https://as.example/device"


# proves: RFC8628-3.5-b
def test_polling_keeps_the_interval_and_ends_with_tokens():
    world = granting()
    for _ in range(3):
        before_ms = world.now_ms
        world.wait()
        assert world.state == "POLLING" and world.now_ms - before_ms == 5_000
        poll = world.request()
        assert poll.name == "TOKEN" and poll["device_code"] == "dc-1" and poll["dpop"] and poll.get("code_verifier") is None
        world.error("authorization_pending")
        assert world.state == "SHOWING" and world.code == "user_code"
    world.wait()
    world.request()
    world.tokens()
    assert world.state == "READY" and b"dc-1" not in world.kept and b"refresh-1" in world.kept


# proves: RFC8628-3.5-b, RFC8628-3.5-c
def test_slow_down_adds_five_seconds_for_good_and_so_does_a_busy_server():
    world = granting()
    for code, interval_ms in (("slow_down", 10_000), ("authorization_pending", 10_000), ("try_later", 15_000)):
        world.wait()
        world.request()
        before_ms = world.now_ms
        world.error(code)
        assert world.state == "SHOWING" and world.agent.deadline_ms - before_ms == interval_ms


def test_a_code_that_ran_out_is_replaced_by_another_one():
    for code in ("expired", "invalid_grant"):
        world = granting()
        world.wait()
        world.request()
        world.error(code)
        assert world.state == "AUTHORIZING" and world.request().name == "DEVICE_CODE"
        show(world, user_code="BCDF-GHJK")
        assert "BCDF-GHJK" in world.shown[-1].text


def test_a_code_that_a_person_refused_stops_until_a_person_asks_again():
    world = granting()
    world.wait()
    world.request()
    world.error("denied")
    assert world.state == "STOPPED" and world.code == "denied" and b"dc-1" not in world.kept


def test_a_code_on_the_screen_survives_a_power_cut_and_a_lost_session():
    world = granting()
    after = Again(world).challenge(challenge_endpoint="", **DEVICE_GRANT)
    assert after.state == "SHOWING" and "WDJB-MJHT" in after.shown[-1].text
    after.wait()
    assert after.request()["device_code"] == "dc-1"
    world.now_ms += 24 * 3600 * 1000
    world.wait()
    assert world.state == "GREETING"
    world.shake()
    world.reply("OFFER", **dict(OFFER, **DEVICE_GRANT))
    assert world.state == "SHOWING"


def test_a_server_that_sends_the_client_to_the_web_is_asked_for_a_device_code():
    world = World().challenge(**DEVICE_GRANT)
    world.request()
    world.error("needs_browser")
    assert world.state == "AUTHORIZING" and world.request().name == "DEVICE_CODE"
    world = World().challenge()
    world.request()
    world.error("needs_browser")
    assert world.state == "STOPPED" and world.code == "needs_browser"


def test_neither_way_offered_says_that_a_browser_is_needed():
    world = World().challenge(challenge_endpoint="")
    assert world.state == "STOPPED" and world.code == "needs_browser"


def test_a_revoked_family_of_such_a_server_leads_to_another_code():
    world = granting()
    world.wait()
    world.request()
    world.tokens()
    world.wait()
    world.request()
    world.error("invalid_grant")
    assert world.state == "AUTHORIZING" and [view.code for view in world.shown[-2:]] == ["invalid_grant", "asking"]


# More is asked


def refused(world, challenge, status=403):
    world.do(CALL)
    world.request()
    world.result(status, b"", www_authenticate=challenge)


# proves: MCP-2-a
def test_a_scope_that_is_missing_leads_to_a_challenge_with_the_auth_session_and_what_is_wanted():
    world = World().ready()
    refused(world, 'DPoP error="insufficient_scope", scope="led:write led:admin", resource_metadata="https://x"')
    assert world.state == "CHALLENGING" and "step_up" in [view.code for view in world.shown]
    asked = world.request()
    assert asked["auth_session"] == "session-2" and asked["more_scope"] == "led:write led:admin"
    assert len(asked["code_challenge"]) == 43, "the code that comes next has a verifier of its own"
    world.prompt(auth_session="session-3")
    world.type(PIN + "#")
    assert world.request()["auth_session"] == "session-3"
    world.reply("CODE", code="code-2", auth_session="session-4")
    assert world.request()["code"] == "code-2"
    world.tokens()
    assert world.state == "CALLING" and world.request()["name"] == "blink", "the call goes on"
    world.result()
    assert world.only("Answer").ok


# proves: RFC9470-4-b
def test_a_better_or_younger_proof_of_the_person_is_asked_for_as_the_server_words_it():
    world = World().ready()
    refused(world, 'DPoP error="insufficient_user_authentication", acr_values="urn:two urn:three", max_age="60"', 401)
    asked = world.request()
    assert asked["acr_values"] == "urn:two urn:three" and asked["max_age"] == 60 and asked.get("more_scope") is None
    world = World().ready()
    refused(world, "DPoP error=insufficient_user_authentication,max_age=5", 401)
    assert world.request()["max_age"] == 5


# proves: MCP-2-b
def test_a_server_that_wants_ever_more_is_given_up():
    world = World().ready()
    world.do(CALL)
    for _ in range(2):
        world.request()
        world.result(403, b"", www_authenticate='DPoP error="insufficient_scope", scope="a"')
        assert world.state == "CHALLENGING"
        world.request()
        world.reply("CODE", code="code-2")
        world.request()
        world.tokens()
        assert world.state == "CALLING"
    world.request()
    world.result(403, b"", www_authenticate='DPoP error="insufficient_scope", scope="a"')
    assert world.state == "READY" and world.code == "mcp_refused"


def test_more_that_is_refused_ends_the_call_and_leaves_the_token_that_there_was():
    for code in ("denied", "internal"):
        world = World().ready()
        refused(world, 'DPoP error="insufficient_scope", scope="led:admin"')
        world.request()
        world.prompt()
        world.type(PIN + "#")
        world.request()
        world.error(code)
        assert world.state == "READY" and world.code == code and not world.only("Answer").ok
        world.do(CALL)
        assert world.request()["access_token"] == "access-1" and world.agent.more == {}


def test_a_session_that_is_over_begins_anew_and_still_asks_for_more():
    world = World().ready()
    refused(world, 'DPoP error="insufficient_scope", scope="led:admin"')
    world.request()
    world.error("invalid_session")
    again = world.request()
    assert again.get("auth_session") is None and again["more_scope"] == "led:admin" and len(again["code_challenge"]) == 43


def test_without_a_challenge_endpoint_more_is_asked_for_by_a_device_code():
    world = granting()
    world.wait()
    world.request()
    world.tokens()
    refused(world, 'DPoP error="insufficient_scope", scope="led:admin"')
    assert world.state == "AUTHORIZING" and world.request()["more_scope"] == "led:admin"


# proves: FIPA-6.2-a
def test_what_still_works_is_used_while_a_person_is_asked_for_a_renewal():
    world = World().ready(ttl_s=1000)
    world.wait()
    world.request()
    world.prompt(auth_session="session-9")
    lapses_ms = world.agent.deadline_ms
    world.do(CALL)
    assert world.state == "CALLING"
    world.request()
    world.result()
    assert world.only("Answer").ok and world.state == "WAITING" and world.code == "waiting"
    assert world.agent.deadline_ms == lapses_ms
    world.type(PIN + "#")
    asked = world.request()
    assert asked["auth_session"] == "session-9" and asked["answers"] == {"pin": PIN} and len(asked["code_challenge"]) == 43


def test_what_still_works_is_used_while_a_code_is_on_the_screen():
    world = granting()
    world.wait()
    world.request()
    world.tokens(refresh_token=None, ttl_s=1000)
    world.wait()
    world.request()
    show(world)
    world.do(CALL)
    assert world.state == "CALLING"
    world.request()
    world.result()
    assert world.only("Answer").ok and world.state == "SHOWING" and world.code == "user_code"
    world.wait()
    assert world.request()["device_code"] == "dc-1"
    world.error("authorization_pending")
    world.now_ms += 1_000_000
    world.do(CALL)
    assert world.state == "SHOWING"


def test_a_call_waits_while_there_is_no_token_that_works():
    world = World().ready(ttl_s=100)
    world.wait()
    world.request()
    world.prompt()
    world.now_ms += 100_000
    world.do(CALL)
    assert world.state == "WAITING"


def test_a_clock_that_jumps_moves_no_deadline():
    world = World().ready(ttl_s=1000)
    renew_ms = world.agent.deadline_ms
    for jump_s in (10 * 365 * 86_400, -3600):
        world.do(CALL)
        world.request()
        world.result(now=world.agent.tokens.seen_s + jump_s)
        assert world.state == "READY" and world.agent.deadline_ms == renew_ms


# Whose it is


def free(world, keys="*000#"):
    for key in keys:
        world.do(Event("KeyPressed", key=key))
    return world


def test_unpairing_by_keys_asks_once_more_and_any_other_key_keeps_the_device():
    world = free(World().ready())
    assert world.code == "sure" and world.state == "READY"
    free(world, "5")
    assert world.code == "ready" or world.effects[-1].code == "ready"
    free(world, "#")
    assert world.state == "READY" and b"refresh-1" in world.kept
    free(world)
    world.now_ms += 30_000
    free(world, "#")
    assert world.state == "READY" and b"refresh-1" in world.kept, "who walked away has not confirmed"


def test_an_unpaired_device_tells_its_servers_and_asks_for_its_next_owner():
    world = World().ready()
    key = world.agent.tokens.dpop_private
    free(free(world), "#")
    assert world.state == "GREETING" and "unpaired" in [view.code for view in world.shown]
    assert key not in world.kept and b"session-2" not in world.kept
    world.shake()
    world.reply("OFFER", **dict(OFFER, **REVOCATION))
    revoke = world.request()
    assert revoke.name == "REVOKE" and revoke["token"] == "refresh-1" and revoke["hint"] == 1
    world.reply("RESULT", status=200, body=b"", block=0, blocks=1)
    report = world.request()
    assert report.name == "REPORT" and report["event"] == 1
    world.reply("RESULT", status=200, body=b"", block=0, blocks=1)
    assert world.state == "CHALLENGING" and b"refresh-1" not in world.kept
    assert world.agent.tokens.dpop_private != key


def test_unpairing_works_offline_and_is_told_after_a_power_cut_too():
    world = World().ready()
    world.do(Event("LinkDown", code="tcp", reason=None))
    free(free(world), "#")
    assert world.state == "OFFLINE" and len([effect for effect in world.effects if effect.name == "Store"]) == 2
    after = Again(world).open()
    after.reply("OFFER", **dict(OFFER, **REVOCATION))
    assert after.request()["token"] == "refresh-1"
    after.error("try_later")
    assert after.state == "RESTING"
    after.wait()
    after.request()
    after.reply("OFFER", **dict(OFFER, **REVOCATION))
    assert after.request().name == "REVOKE"
    after.error("invalid")
    assert after.request().name == "REPORT", "what cannot be revoked runs out"
    after.error("internal")
    assert after.state == "CHALLENGING"


def test_a_server_that_revokes_nothing_is_only_told_by_the_bridge():
    world = free(free(World().ready()), "#").shake()
    world.reply("OFFER", **OFFER)
    assert world.request().name == "REPORT"


def test_an_access_token_without_a_refresh_token_is_revoked():
    world = free(free(World().ready(refresh_token=None)), "#").shake()
    world.reply("OFFER", **dict(OFFER, **REVOCATION))
    revoke = world.request()
    assert revoke["token"] == "access-1" and revoke["hint"] == 0


def test_a_device_that_was_never_paired_can_be_freed_as_well_and_a_typed_pin_is_gone():
    world = World().wait_for_pin()
    world.type("123*")
    free(free(world), "#")
    world.shake()
    world.reply("OFFER", **dict(OFFER, **REVOCATION))
    assert world.request().name == "REPORT"


def test_unpairing_twice_before_anybody_was_told_keeps_what_is_to_be_revoked():
    world = World().ready()
    world.do(Event("LinkDown", code="tcp", reason=None))
    world.do(Event("Unpair", reset=False))
    world.do(Event("Unpair", reset=True))
    assert world.only("Erase") == Event("Erase")
    after = Again(world).open()
    after.reply("OFFER", **dict(OFFER, **REVOCATION))
    assert after.request()["token"] == "refresh-1"
    after.reply("RESULT", status=200, body=b"", block=0, blocks=1)
    assert after.request()["event"] == 2


def test_a_factory_reset_forgets_the_networks_too():
    world = free(free(World().ready(), "*999#"), "#")
    assert [effect.name for effect in world.effects[:3]] == ["Store", "Erase", "Store"]
    assert "sure_reset" in [view.code for view in world.shown]


def test_a_factory_reset_that_a_power_cut_met_in_the_middle_is_ended_at_the_next_start_and_only_then():
    world = free(free(World().ready(), "*999#"), "#")
    decided, done = [effect.data for effect in world.effects if effect.name == "Store"]
    for kept, erased in ((decided, True), (done, False)):
        after = World(kept=kept, bridge=world.bridge, identity=world.identity)
        after.do(Event("Started"))
        assert ("Erase" in [effect.name for effect in after.effects]) == erased
        assert after.kept == done, "what the next owner's device learns is not forgotten again"


# proves: FIPA-5.3.1-e
def test_the_next_owner_gets_a_key_and_a_session_of_his_own():
    world = free(free(World().ready()), "#").shake()
    world.reply("OFFER", **OFFER)
    world.request()
    world.reply("RESULT", status=200, body=b"", block=0, blocks=1)
    first = world.request()
    assert first.name == "CHALLENGE" and first.get("auth_session") is None and len(first["code_challenge"]) == 43


def test_a_call_that_comes_while_another_is_under_way_is_made_after_it():
    world = World().ready()
    world.do(CALL)
    first = world.request()
    world.do(Event("Call", tool="whoami"))
    assert world.effects == [] and first["name"] == "blink"
    world.result()
    assert world.only("Answer").ok and world.state == "CALLING" and world.request()["name"] == "whoami"
    world.result(403, b"", www_authenticate='DPoP error="insufficient_scope", scope="a"')
    world.request()
    world.prompt()
    world.do(Event("Call", tool="read_led"))
    assert world.state == "WAITING", "the one that was begun gets what it lacks first"
    world.type(PIN + "#")
    world.request()
    world.reply("CODE", code="code-2")
    world.request()
    world.tokens()
    assert world.request()["name"] == "whoami"
    world.result()
    assert world.request()["name"] == "read_led"
    world.result()
    assert world.state == "READY"


# MCP's eras


def answered(world, result=None, error=None, status=200, **fields):
    body = {"jsonrpc": "2.0", "id": 1}
    if error:
        body["error"] = error
    else:
        body["result"] = result
    world.result(status, json.dumps(body).encode(), **fields)


def shaken(world):
    """Through the handshake of 2025-11-25, to the request after it."""
    answered(world, error={"code": -32000, "message": "Bad Request: Server not initialized"}, status=400)
    opening = world.request()
    assert opening["method"] == "initialize" and opening["protocol_version"] == "" and opening.get("mcp_session") is None
    assert json.loads(opening["body"])["params"]["protocolVersion"] == "2025-11-25"
    answered(world, {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}, mcp_session="s-1")
    noted = world.request()
    assert noted["method"] == "notifications/initialized" and "id" not in json.loads(noted["body"])
    assert noted["protocol_version"] == "2025-06-18" and noted["mcp_session"] == "s-1"
    world.result(202, b"")
    return world.request()


# proves: MCP-1-b, MCP-1-c
def test_a_server_of_an_earlier_era_is_met_with_a_handshake_that_is_made_once():
    world = World().call()
    assert world.request().get("protocol_version") is None
    call = shaken(world)
    assert call["method"] == "tools/call" and call["mcp_session"] == "s-1" and call["protocol_version"] == "2025-06-18"
    sent = json.loads(call["body"])
    assert sent["params"] == {"name": "blink", "arguments": {"times": 3}} and call.get("name") is None
    world.result()
    assert world.only("Answer").ok
    world.do(CALL)
    assert world.request()["mcp_session"] == "s-1"
    world.result()
    assert world.state == "READY"


# proves: MCP-1-d
def test_a_session_that_the_server_has_forgotten_is_opened_anew_once():
    world = World().call()
    world.request()
    shaken(world)
    world.result()
    world.do(CALL)
    world.request()
    answered(world, error={"code": -32001, "message": "Session not found"}, status=404)
    assert world.request()["method"] == "initialize"
    answered(world, {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}, mcp_session="s-2")
    world.request()
    world.result(202, b"")
    assert world.request()["mcp_session"] == "s-2"
    answered(world, error={"code": -32001, "message": "Session not found"}, status=404)
    assert world.state == "READY" and world.code == "mcp_refused"


def test_a_modern_server_that_objects_is_not_met_with_a_handshake():
    for code in (-32020, -32022, -32602):
        world = World().call()
        world.request()
        answered(world, error={"code": code, "message": "no"}, status=400)
        assert world.state == "READY" and world.code == "mcp_refused"


def test_a_handshake_that_fails_ends_the_call():
    for result, session in (
        ({}, "s"),
        ({"protocolVersion": "2025\r\nX: y"}, "s"),
        ({"protocolVersion": "2025-11-25"}, "s\r\nX: y"),
    ):
        world = World().call()
        world.request()
        world.result(400, b"")
        assert world.request()["method"] == "initialize"
        answered(world, result, mcp_session=session)
        assert world.state == "READY" and world.code == "mcp_failed"
    world = World().call()
    world.request()
    world.result(404, b"")
    world.request()
    world.result(500, b"")
    assert world.code == "mcp_refused"


def test_tools_are_listed_and_resources_read():
    world = World().ready()
    world.do(Event("Call"))
    asked = world.request()
    assert asked["method"] == "tools/list" and asked.get("name") is None
    tools = [{"name": "blink", "title": "no", "inputSchema": {"type": "object"}}, {"name": "whoami", "inputSchema": {}}]
    answered(world, {"tools": tools})
    assert world.only("Answer").text == "blink\nwhoami"
    world.do(Event("Call", uri="note://hello"))
    asked = world.request()
    assert asked["method"] == "resources/read" and asked["name"] == "note://hello"
    assert json.loads(asked["body"])["params"]["uri"] == "note://hello"
    answered(world, {"contents": [{"uri": "note://hello", "mimeType": "text/plain", "text": "hi"}]})
    assert world.only("Answer").text == "hi"


def test_straight_over_https_the_handshake_goes_in_headers_and_an_answer_in_pieces():
    world = World(settings={"route": "direct"}).call()

    def heard(status, body=b"", last=True, **headers):
        named = {name.replace("_", "-"): headers[name] for name in headers}
        world.do(Event("HttpAnswered", status=status, headers=named, body=body, last=last))

    post = world.only("Post")
    assert (
        post.url == RESOURCE and "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: blink" in post.headers
    )
    heard(400, b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"no"},"id":null}', last=False)
    assert world.effects == [], "the whole answer first: what comes after it belongs to it"
    heard(400)
    post = world.only("Post")
    assert "MCP-Protocol-Version" not in post.headers and "Mcp-Method" not in post.headers
    heard(200, b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}', mcp_session_id="s-1")
    post = world.only("Post")
    assert "MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: s-1\r\n" in post.headers
    heard(202)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "y" * 3000}]}}).encode()
    assert world.only("Post").body.find(b"tools/call") > 0
    for at in range(0, len(body), 512):
        heard(200, body[at : at + 512], at + 512 >= len(body))
    assert b"".join(world.heard) == b"y" * 3000
    assert world.only("Answer") == Event("Answer", ok=True, text="y" * 2048, whole=False)


def test_a_name_that_no_header_can_hold_travels_as_base64():
    world = World(settings={"route": "direct"}).ready()
    world.do(Event("Call", uri="note://h\xe9llo\r\nX: y"))
    assert "Mcp-Name: =?base64?bm90ZTovL2jDqWxsbw0KWDogeQ==?=\r\n" in world.only("Post").headers


def test_an_answer_without_an_end_is_refused_after_64_kib():
    world = World().call()
    for block in range(30):
        world.request()
        world.result(body=bytes([32]) * 3000, block=block, blocks=99)
        if world.state != "CALLING":
            break
    assert block == 21 and world.code == "mcp_refused"


def test_z_every_row_of_a_life_was_taken():
    assert untaken(life=True) == []


def test_a_bridge_that_is_another_one_is_no_reason_to_forget():
    world = World().ready()
    stranger = BridgeSide()
    again = World(kept=world.kept, bridge=stranger, identity=Identity(stranger)).challenge()
    assert again.state == "REFRESHING"
