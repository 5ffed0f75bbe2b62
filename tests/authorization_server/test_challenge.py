"""POST /challenge: FiPA-04 and what PROTOCOL section 5 adds, without the guessing (test_guessing.py).

Not the token endpoint.
"""

import base64
import string
import time

import pytest

from latchpin.wire.check_digit import damm
from tests.authorization_server import running
from tests.authorization_server.parties import DpopKey, Party, basic, wrong_pin
from tests.requirements import proves

RFC6749_ERROR_CHARACTERS = {chr(code) for code in (0x20, 0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F))}


@proves("FIPA-5.2-a", "FIPA-5.2.2.1-a", "FIPA-1.3-a")
def test_a_first_request_is_answered_with_what_a_keypad_needs_to_ask(server):
    response = Party(server).start()
    assert response.status_code == 403
    prompt = response.json()
    assert prompt["error"] == "insufficient_authorization"
    assert prompt["inputs"] == [{"name": "pin", "kind": "digits", "min": 9, "max": 9, "check": "damm", "label": "PIN"}]
    assert (prompt["reason"], prompt["tries_left"], prompt["retry_after"]) == ("none", 5, 0)
    assert 0 < prompt["inputs_expire_in"] <= 600
    assert len(prompt["binding_word"].split(" ")) == 2
    assert response.headers["cache-control"] == "no-store"


@proves("PROTOCOL-5-h")
def test_the_issued_pin_has_eight_digits_and_a_check_digit_and_earns_a_code(server):
    party = Party(server)
    prompt = party.start().json()
    issued = server.admin("pin", device=party.device)
    assert len(issued["pin"]) == 9 and set(issued["pin"]) <= set(string.digits)
    assert damm(issued["pin"]) == "0"
    assert issued["binding_word"] == prompt["binding_word"]
    response = party.follow(pin=issued["pin"])
    assert response.status_code == 200
    assert sorted(response.json()) == ["auth_session", "authorization_code"]
    assert response.headers["cache-control"] == "no-store"


@proves("PROTOCOL-5-h")
def test_a_pin_is_worth_nothing_for_another_device_or_another_session(server):
    mine, theirs = Party(server), Party(server)
    mine.start()
    theirs.start()
    pin = server.issue_pin(mine.device)
    assert theirs.follow(pin=pin).json()["reason"] == "wrong_answer"
    again = Party(server, device=mine.device)
    again.start()
    assert again.follow(pin=pin).json()["reason"] == "wrong_answer"


def test_a_newer_pin_makes_the_older_one_void(server):
    party = Party(server)
    party.start()
    older, newer = server.issue_pin(party.device), server.issue_pin(party.device)
    assert older != newer
    assert party.follow(pin=older).json()["reason"] == "wrong_answer"
    assert party.follow(pin=newer).status_code == 200


# What a first request must and must not say


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": "led:read everything"}, "invalid_scope"),
        ({"scope": "door:open"}, "invalid_scope"),
        ({"resource": None}, "invalid_target"),
        ({"resource": "https://elsewhere.example/"}, "invalid_target"),
        ({"resource": running.RESOURCE + "/"}, "invalid_target"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "=" * 43}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"device_id": None}, "invalid_request"),
        ({"device_id": "with/slash"}, "invalid_request"),
        ({"device_id": "x" * 65}, "invalid_request"),
        ({"dpop_jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "invalid_dpop_proof"),
    ],
)
@proves("RFC8707-2-a")
def test_a_first_request_that_is_wrong_is_refused_by_its_code(server, changes, error):
    response = Party(server).start(**changes)
    assert (response.status_code, response.json()["error"]) == (400, error)


@proves("FIPA-4.1-d")
def test_parameters_of_an_authorization_request_without_meaning_here_are_accepted(server):
    party = Party(server)
    response = party.start(
        state="xyz",
        response_mode="query",
        login_hint="alice",
        nonce="n",
        acr_values="a",
        max_age="1",
        prompt="login",
        display="page",
    )
    assert response.status_code == 403
    assert party.start(scope="led:write led:read led:read").status_code == 403


@proves("FIPA-4.1-d")
def test_dpop_jkt_of_the_same_key_is_accepted(server):
    party = Party(server)
    assert party.start(dpop_jkt=party.key.jkt).status_code == 403


# Who may ask


@proves("FIPA-5-a")
@pytest.mark.parametrize("client_id", [running.OUTSIDER, "nobody-knows-me"])
def test_whoever_is_not_first_party_is_an_unauthorized_client(server, client_id):
    response = Party(server, client=client_id).start()
    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")


@proves("FIPA-4.1-b", "RFC6749-5.2-a")
@pytest.mark.parametrize(
    "authorization",
    [
        basic(running.BRIDGE, "another secret"),
        basic("nobody", running.BRIDGE_SECRET),
        basic(running.APP, ""),
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer abc",
        "Basic",
    ],
)
@pytest.mark.parametrize("endpoint", ["challenge", "token"])
def test_a_client_that_fails_to_authenticate_gets_401_at_both_endpoints(server, endpoint, authorization):
    party = Party(server)
    fields = party.first_fields() | {"grant_type": "authorization_code", "code": "x", "code_verifier": "v" * 43}
    response = party.post(endpoint, fields, headers={"Authorization": authorization})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic realm=")


@proves("FIPA-4.1-b")
def test_a_confidential_client_must_authenticate_at_both_endpoints_and_in_follow_ups(server):
    bridge = Party(server)
    bridge.start()
    stranger = Party(server, client=running.APP)
    stranger.client = running.APP
    for endpoint, fields in (
        ("challenge", bridge.first_fields()),
        ("challenge", {"auth_session": bridge.auth_session}),
        ("token", {"grant_type": "authorization_code", "code": "x", "client_id": running.BRIDGE}),
        ("token", {"grant_type": "refresh_token", "refresh_token": "x", "client_id": running.BRIDGE}),
        ("revoke", {"token": "x", "client_id": running.BRIDGE}),
    ):
        response = stranger.post(endpoint, fields, key=bridge.key)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@proves("FIPA-5.1-a")
def test_a_client_id_that_is_not_the_authenticated_client_is_refused(server):
    party = Party(server)
    assert party.start(client_id=running.APP).json()["error"] == "invalid_request"
    party.start()
    assert (
        party.post("challenge", {"auth_session": party.auth_session, "client_id": running.APP}).json()["error"]
        == "invalid_request"
    )
    assert party.follow(client_id=running.BRIDGE).status_code == 403


@proves("FIPA-5.1-a")
def test_a_client_cannot_go_on_with_the_session_of_another_one(server):
    app = Party(server, client=running.APP)
    app.start()
    other = Party(server, client=running.BEARER_APP)
    response = other.post("challenge", {"auth_session": app.auth_session, "client_id": running.BEARER_APP}, key=app.key)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_session")
    assert app.follow().status_code == 403


def test_client_credentials_in_the_body_are_refused(server):
    response = Party(server).start(client_secret=running.BRIDGE_SECRET)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_what_a_public_client_claims_as_its_device_stands_under_its_own_name(server):
    real = Party(server)
    real.start()
    claims = Party(server, client=running.APP, device=real.device)
    claims.start()
    waiting = [entry["device"] for entry in server.admin("waiting")]
    assert real.device in waiting and f"{running.APP}/{real.device}" in waiting
    pin = server.issue_pin(real.device)
    assert claims.follow(pin=pin).status_code == 403
    assert real.follow(pin=pin).status_code == 200


# Follow-ups


@proves("FIPA-4.1-d")
def test_a_follow_up_may_repeat_every_parameter_of_the_first_request_or_none(server):
    party = Party(server)
    party.start(scope="led:write led:read")
    assert party.follow().status_code == 403
    assert party.follow(**party.first_fields(scope="led:read led:write")).status_code == 403
    assert party.follow(pin=server.issue_pin(party.name), resource=running.RESOURCE).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "led:read led:write"},
        {"resource": running.OTHER_RESOURCE},
        {"code_challenge": "A" * 43},
        {"response_type": "token"},
        {"device_id": "lp-other"},
    ],
)
def test_a_follow_up_may_not_change_a_parameter_and_costs_no_attempt(server, changes):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.name)
    response = party.post("challenge", {"auth_session": party.auth_session, "pin": wrong_pin(pin), **changes})
    assert (response.status_code, response.json()["error"] in ("invalid_request", "unsupported_response_type")) == (400, True)
    assert party.follow().json()["tries_left"] == 5


@proves("FIPA-5.3.1-a", "FIPA-5.3.1-b")
def test_auth_sessions_are_random_and_say_nothing(server):
    party = Party(server)
    seen = [party.start().json()["auth_session"]]
    for _ in range(20):
        seen.append(party.follow().json()["auth_session"])
    assert len(set(seen)) == len(seen)
    decoded = [base64.urlsafe_b64decode(text + "=") for text in seen]
    assert {len(data) for data in decoded} == {32}
    for place in range(32):
        assert len({data[place] for data in decoded}) > 5  # no byte of it stands still


@proves("PROTOCOL-5-a")
def test_each_accepted_request_rotates_auth_session_and_the_superseded_one_takes_no_answer(server):
    party = Party(server)
    first = party.start().json()["auth_session"]
    pin = server.issue_pin(party.name)
    second = party.follow().json()["auth_session"]
    assert second != first
    response = party.post("challenge", {"auth_session": first, "pin": pin})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_session")
    assert party.follow(auth_session=second, pin=pin).status_code == 200


@proves("PROTOCOL-5-b")
def test_after_a_lost_reply_the_superseded_auth_session_asks_once_more_where_it_stands(server):
    party = Party(server)
    first = party.start().json()["auth_session"]
    pin = server.issue_pin(party.name)
    party.follow(pin=wrong_pin(pin))
    lost = party.auth_session
    again = party.follow(auth_session=first)
    assert (again.status_code, again.json()["tries_left"]) == (403, 4)
    assert party.follow(auth_session=lost).json()["error"] == "invalid_session"
    assert party.follow(auth_session=first).json()["error"] == "invalid_session"
    assert party.follow(auth_session=again.json()["auth_session"], pin=pin).status_code == 200


@proves("PROTOCOL-5-b")
def test_a_superseded_auth_session_is_dead_once_its_successor_was_used(server):
    party = Party(server)
    first = party.start().json()["auth_session"]
    party.follow()
    party.follow()
    assert party.follow(auth_session=first).json()["error"] == "invalid_session"


@proves("PROTOCOL-5-b")
def test_a_superseded_auth_session_that_arrives_late_does_not_take_back_what_was_redeemed_since(server):
    # Found by tests/model: a stalled question, overtaken by its repetition through another replica, ended the live family.
    party = Party(server)
    party.earn_code()
    stalled = party.auth_session
    fresh = party.follow(auth_session=stalled).json()["authorization_code"]
    tokens = party.redeem(fresh).json()
    assert party.follow(auth_session=stalled).json()["error"] == "invalid_session"
    assert party.refresh(tokens["refresh_token"]).status_code == 200


@proves("PROTOCOL-5-b")
def test_without_a_dpop_key_a_superseded_auth_session_is_dead_at_once(server):
    party = Party(server, client=running.BEARER_APP, dpop=False)
    first = party.start().json()["auth_session"]
    party.follow()
    assert party.follow(auth_session=first).json()["error"] == "invalid_session"


@proves("PROTOCOL-5-g")
def test_a_satisfied_session_gives_a_fresh_code_and_ends_what_the_older_one_gave(server):
    party = Party(server)
    tokens = party.redeem(party.earn_code()).json()
    response = party.follow()
    assert response.status_code == 200
    assert party.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    unused = response.json()["authorization_code"]
    newest = party.follow().json()["authorization_code"]
    assert party.redeem(unused).json()["error"] == "invalid_grant"
    assert party.redeem(newest).status_code == 200


@proves("PROTOCOL-5-g", "PROTOCOL-5-b")
def test_a_lost_code_is_asked_for_again_with_the_auth_session_that_earned_it(server):
    party = Party(server)
    before = party.start().json()["auth_session"]
    party.follow(pin=server.issue_pin(party.name))  # this reply, its code and its auth_session, never arrives
    response = party.follow(auth_session=before)
    assert response.status_code == 200
    assert party.redeem(response.json()["authorization_code"]).status_code == 200


@proves("PROTOCOL-5-g")
def test_a_satisfied_session_ends_with_its_time(tmp_path):
    with running.server(tmp_path, session_ttl_s=3) as server:
        party = Party(server)
        party.earn_code()
        time.sleep(3.1)
        assert party.follow().json()["error"] == "invalid_session"


@pytest.mark.parametrize("auth_session", ["made-up", "A" * 43, "A" * 4096])
def test_a_made_up_auth_session_is_an_invalid_session(server, auth_session):
    response = Party(server).follow(auth_session=auth_session)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_session")


@proves("FIPA-9.3-b")
def test_a_session_has_an_end_to_its_requests(server):
    party = Party(server)
    party.start()
    answered = 0
    while party.follow().status_code == 403:
        answered += 1
        assert answered < 300
    assert answered == 199


def test_a_device_that_starts_again_has_forgotten_its_unfinished_session(server):
    party = Party(server)
    party.start()
    older = party.auth_session
    party.start()
    assert party.follow(auth_session=older).json()["error"] == "invalid_session"
    assert [entry["device"] for entry in server.admin("waiting")].count(party.device) == 1


@proves("PROTOCOL-5-k")
def test_a_first_request_that_is_said_again_neither_ends_the_session_nor_voids_its_pin(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.name)
    again = party.post("challenge", party.first_fields()).json()
    assert again["auth_session"] == party.auth_session
    assert party.follow(pin=pin).status_code == 200


@proves("PROTOCOL-5-k")
def test_a_first_request_that_comes_late_changes_nothing_for_a_session_that_has_gone_on(server):
    party = Party(server)
    first = party.start().json()
    pin = server.issue_pin(party.name)
    party.follow()
    late = party.post("challenge", party.first_fields())
    assert (late.status_code, late.json()["error"]) == (400, "invalid_session")
    assert party.auth_session != first["auth_session"]
    assert party.follow(pin=pin).status_code == 200
    assert party.post("challenge", party.first_fields()).json()["error"] == "invalid_session"
    assert party.device not in [entry["device"] for entry in server.admin("waiting")]


@proves("PROTOCOL-5-k")
def test_the_code_challenge_of_another_key_begins_a_session_of_its_own(server):
    party, other = Party(server, client=running.APP), Party(server, client=running.APP)
    party.start()
    other.code_challenge = party.code_challenge
    assert other.start().json()["auth_session"] != party.auth_session
    assert party.follow().status_code == 403


# DPoP binding


@proves("FIPA-9.5.1-d", "FIPA-9.5.1-e", "FIPA-9.6.1-a", "FIPA-5.3.1-d")
def test_a_follow_up_wants_a_proof_of_the_first_request_s_key(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.name)
    fields = {"auth_session": party.auth_session, "pin": pin}
    for response in (party.post("challenge", fields, key=DpopKey()), party.post("challenge", fields, key=None)):
        assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")
    assert party.follow(pin=pin).status_code == 200


@proves("FIPA-9.5-a", "FIPA-9.5.1-e")
@pytest.mark.parametrize("client", [running.BRIDGE, running.APP])
def test_a_client_that_promised_dpop_cannot_start_without_it(server, client):
    response = Party(server, client=client, dpop=False).start()
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


@proves("FIPA-5.2.2-a")
def test_no_refusal_has_a_character_outside_rfc_6749_nor_quotes_what_was_sent(server):
    poison = 'ä"\\\n\x00<script>canary'
    party = Party(server)
    names = (
        *party.first_fields(),
        "auth_session",
        "grant_type",
        "code",
        "code_verifier",
        "refresh_token",
        "token",
        "redirect_uri",
    )
    for endpoint in ("challenge", "token", "revoke"):
        for name in names:
            for base in (
                {},
                party.first_fields(),
                {"grant_type": "authorization_code", "code": "x"},
                {"grant_type": "refresh_token"},
            ):
                response = party.post(endpoint, base | {name: poison})
                assert response.status_code < 500
                for value in (response.json().get("error", ""), response.json().get("error_description", "")):
                    assert set(value) <= RFC6749_ERROR_CHARACTERS
                    assert "canary" not in value
