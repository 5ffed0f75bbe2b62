"""Every row of translate's table: what a request becomes at the AS, and what an answer becomes for the device.

Not for HTTP: answers come ready here.
"""

from pathlib import Path
from typing import Any

import pytest

from broker_bridge import profile, tables, translate
from broker_bridge.configuration import ConfigurationError
from broker_bridge.oauth_api import Answer, AuthorizationServerMetadata
from broker_bridge.refusals import Refused
from broker_bridge.settings import Resource
from latchpin.wire import messages
from latchpin.wire.bridge_side import CODES, NUMBERS
from latchpin.wire.messages import Message
from tests.bridge.driver import message
from tests.bridge.foreign import PIN_INPUT, prompt
from tests.requirements import proves

REFERENCE = profile.load("reference")
APPENDIX_B = profile.load("appendix-b")
JANSSEN = profile.load("janssen")
RESOURCES = [
    Resource(uri="https://mcp.example/mcp", scopes=["led:read", "led:read led:write"]),
    Resource(uri="https://door.example/mcp", scopes=["door:open"]),
]
DEVICE = "lp-7f3k2m"
PROOF = "aaa.bbb.ccc"
CHALLENGE = {"resource": 0, "scope": 1, "code_challenge": "c" * 43, "dpop": PROOF}
REQUESTS: dict[str, dict[str, Any]] = {
    "CHALLENGE": CHALLENGE,
    "TOKEN": {"resource": 0, "code": "code-1", "code_verifier": "v" * 43},
    "DEVICE_CODE": {"resource": 0, "scope": 0},
    "REVOKE": {"token": "token-1", "hint": 1},
}


def ask(name: str, words: profile.Profile = REFERENCE, **fields: Any) -> translate.Ask:
    return translate.to_ask(message(name, **fields), DEVICE, "latchpin-device", RESOURCES, words)


def told(name: str, status: int, content: dict[str, Any], words: profile.Profile = REFERENCE, **fields: Any) -> translate.Told:
    asked = message(name, **{**REQUESTS[name], **fields})
    reply = translate.to_told(asked, Answer(status=status, content=content), words)
    messages.pack(Message(reply.message.name, {**reply.message.fields, "now": 1}))
    assert reply.message["rid"] == asked["rid"]
    return reply


def error(reply: translate.Told) -> str:
    assert reply.message.name == "ERROR"
    return CODES[reply.message["error"]]


def refusal(name: str, status: int, content: dict[str, Any], words: profile.Profile = REFERENCE, **fields: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        told(name, status, content, words, **fields)
    assert caught.value.code == "internal"
    return caught.value


def bad(name: str, words: profile.Profile = REFERENCE, **fields: Any) -> str:
    with pytest.raises(Refused) as caught:
        ask(name, words, **fields)
    assert caught.value.code == "invalid"
    return caught.value.why


# Requests


@proves("FIPA-5.1-b", "FIPA-5.2.2.1.1-a")
def test_a_first_challenge_says_who_what_and_for_which_device():
    assert ask("CHALLENGE", **CHALLENGE) == translate.Ask(
        "challenge",
        {
            "response_type": "code",
            "client_id": "latchpin-device",
            "scope": "led:read led:write",
            "resource": "https://mcp.example/mcp",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
            "device_id": DEVICE,
        },
        PROOF,
    )


@proves("FIPA-5.2.2-b")
def test_a_follow_up_says_its_auth_session_and_answers_and_repeats_what_the_profile_lets_it():
    follow_up = {"resource": 1, "scope": 0, "auth_session": "session-1", "answers": {"pin": "123456789"}}
    assert ask("CHALLENGE", **follow_up).form == {
        "client_id": "latchpin-device",
        "scope": "door:open",
        "resource": "https://door.example/mcp",
        "auth_session": "session-1",
        "pin": "123456789",
        "device_id": DEVICE,
    }
    follow_up["answers"] = {"otp": "123456"}
    assert ask("CHALLENGE", APPENDIX_B, **follow_up).form == {
        "auth_session": "session-1",
        "otp": "123456",
    }


def test_a_profile_adds_its_words_to_the_first_request_only_where_it_says_so():
    form = ask("CHALLENGE", APPENDIX_B, **CHALLENGE, answers={"username": "alice"}).form
    assert form["response_type"] == "code" and form["username"] == "alice"
    form = ask("CHALLENGE", JANSSEN, **CHALLENGE).form
    assert form["acr_values"] == "latchpin" and form["use_auth_session"] == "true"
    assert "response_type" not in form and "device_id" not in form and form["scope"] == "led:read led:write"


@proves("MCP-2-a", "RFC9470-4-b")
def test_what_a_resource_server_wants_beyond_is_added_as_far_as_the_operators_list_goes():
    more = {"more_scope": "led:write root led:write door:open", "acr_values": "urn:two urn:one", "max_age": 60}
    wanted = {"scope": "led:read led:write", "acr_values": "urn:two urn:one", "max_age": "60"}
    usual = {"resource": 0, "scope": 0, "code_challenge": "c" * 43}
    assert wanted.items() <= ask("CHALLENGE", **usual, **more).form.items()
    again = ask("CHALLENGE", **usual, **more, auth_session="session-1").form
    assert wanted.items() <= again.items() and again["auth_session"] == "session-1" and "response_type" not in again
    assert (again["code_challenge"], again["code_challenge_method"]) == ("c" * 43, "S256")
    shown = ask("DEVICE_CODE", resource=0, scope=0, more_scope="led:write", acr_values="urn:two").form
    assert (shown["scope"], shown["acr_values"]) == ("led:read led:write", "urn:two")
    named = ask("CHALLENGE", JANSSEN, **usual, acr_values="urn:two").form
    assert named["acr_values"] == "latchpin", "what the profile says is how that server finds its script"
    assert bad("CHALLENGE", **usual, acr_values="a\r\nb") == "form_of_acr_values"


@proves("FIPA-6.2-a")
def test_a_session_that_began_at_the_token_endpoint_is_brought_a_code_challenge_with_its_answer():
    follow_up = {"resource": 0, "scope": 0, "auth_session": "session-1", "answers": {"pin": "123456789"}}
    form = ask("CHALLENGE", APPENDIX_B, **{**follow_up, "answers": {"otp": "123456"}}, code_challenge="c" * 43).form
    assert form["code_challenge"] == "c" * 43 and "scope" not in form
    assert "code_challenge" not in ask("CHALLENGE", **follow_up).form


def test_a_question_without_answers_asks_where_the_session_stands():
    assert "pin" not in ask("CHALLENGE", resource=0, scope=0, auth_session="session-1").form


def test_a_code_is_redeemed_with_its_verifier_and_resource():
    assert ask("TOKEN", resource=0, code="code-1", code_verifier="v" * 43, dpop=PROOF) == translate.Ask(
        "token",
        {
            "grant_type": "authorization_code",
            "code": "code-1",
            "code_verifier": "v" * 43,
            "client_id": "latchpin-device",
            "resource": "https://mcp.example/mcp",
        },
        PROOF,
    )


def test_a_refresh_token_and_a_device_code_are_redeemed_without_a_verifier():
    shared = {"client_id": "latchpin-device", "resource": "https://mcp.example/mcp"}
    assert ask("TOKEN", resource=0, refresh_token="r").form == {"grant_type": "refresh_token", "refresh_token": "r", **shared}
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    assert ask("TOKEN", resource=0, device_code="d").form == {"grant_type": grant, "device_code": "d", **shared}


def test_device_code_and_revocation_go_to_endpoints_of_their_own():
    assert ask("DEVICE_CODE", resource=0, scope=0) == translate.Ask(
        "device_authorization",
        {
            "client_id": "latchpin-device",
            "scope": "led:read",
            "resource": "https://mcp.example/mcp",
            "device_id": DEVICE,
        },
        None,
    )
    for hint, word in enumerate(("access_token", "refresh_token")):
        form = {"client_id": "latchpin-device", "token": "t", "token_type_hint": word}
        assert ask("REVOKE", token="t", hint=hint) == translate.Ask("revocation", form, None)


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("CHALLENGE", {**CHALLENGE, "resource": 2}, "resource_index"),
        ("CHALLENGE", {**CHALLENGE, "scope": 2}, "scope_index"),
        ("CHALLENGE", {"resource": 0, "scope": 0}, "no_code_challenge"),
        ("CHALLENGE", {**CHALLENGE, "code_challenge": "c" * 42 + "="}, "form_of_code_challenge"),
        ("CHALLENGE", {**CHALLENGE, "dpop": "aaa.bbb.ccc\r\nX-Other: 1"}, "form_of_dpop"),
        ("CHALLENGE", {**CHALLENGE, "dpop": "aaa.bbb"}, "form_of_dpop"),
        ("CHALLENGE", {"resource": 0, "scope": 0, "auth_session": "a\nb"}, "form_of_auth_session"),
        ("CHALLENGE", {"resource": 0, "scope": 0, "auth_session": ""}, "form_of_auth_session"),
        ("TOKEN", {"resource": 0}, "grant"),
        ("TOKEN", {"resource": 0, "code": "c"}, "grant"),
        ("TOKEN", {"resource": 0, "code": "c", "refresh_token": "r", "code_verifier": "v" * 43}, "grant"),
        ("TOKEN", {"resource": 0, "refresh_token": "r", "code_verifier": "v" * 43}, "grant"),
        ("TOKEN", {"resource": 0, "code": "c", "code_verifier": "v" * 42 + "\n"}, "form_of_code_verifier"),
        ("TOKEN", {"resource": 0, "code": "c\0", "code_verifier": "v" * 43}, "form_of_code"),
        ("TOKEN", {"resource": 2, "refresh_token": "r"}, "resource_index"),
        ("TOKEN", {"resource": 0, "device_code": "é"}, "form_of_device_code"),
        ("REVOKE", {"token": "t\r", "hint": 0}, "form_of_token"),
    ],
)
def test_a_request_that_cannot_be_right_never_reaches_the_as(name: str, fields: dict[str, Any], why: str):
    assert bad(name, **fields) == why


@pytest.mark.parametrize("name", sorted(profile.RESERVED | {"device_id", "birthday", "PIN", "pin ", "pin&scope", ""}))
def test_an_answer_cannot_take_the_name_of_another_parameter(name: str):
    assert bad("CHALLENGE", resource=0, scope=0, auth_session="s", answers={name: "123456789"}) == "answer_name"


@pytest.mark.parametrize(
    "text", ["", "123", "12345678a", "123456789\n", "1234\r\n5678", "123456789&scope=all", "١٢٣٤٥٦٧٨٩", " 123456789"]
)
def test_a_pin_is_digits_and_nothing_else(text: str):
    assert bad("CHALLENGE", resource=0, scope=0, auth_session="s", answers={"pin": text}) == "answer_form"


@pytest.mark.parametrize("name", ["client_id", "code_verifier", "device_id"])
def test_a_profile_cannot_hand_out_a_parameter_of_the_bridges_own(name: str, tmp_path: Path):
    path = tmp_path / "wrong.toml"
    path.write_text(f'[challenge]\ndevice_parameter = "device_id"\n[answers]\n{name} = ".*"\n')
    with pytest.raises(ConfigurationError, match="itself sends"):
        profile.load(str(path))


# Answers: errors


ROWS = [(code, request) for code in translate.ERRORS for request in REQUESTS]


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(("code", "request_name"), ROWS)
@proves("FIPA-6.2-a")
def test_each_error_code_is_told_by_its_row_and_only_where_it_belongs(code: str, request_name: str, status: int):
    if request_name not in translate.ONLY.get(code, tuple(REQUESTS)):
        assert refusal(request_name, status, {"error": code}).why == "as_error_unknown"
    elif translate.ERRORS[code] == translate.ASK:
        assert told(request_name, status, prompt().body).message.name == "PROMPT"
    else:
        reply = told(request_name, status, {"error": code})
        assert error(reply) == translate.ERRORS[code] and reply.why == code
        assert (reply.message.get("retry_after_s") is not None) == (error(reply) == "try_later")


def test_the_table_leads_to_every_code_that_an_as_can_cause():
    reached = {*translate.ERRORS.values(), *REFERENCE.reasons.values()} - {translate.ASK}
    assert reached == set(NUMBERS)


@pytest.mark.parametrize("name", sorted(REQUESTS))
@pytest.mark.parametrize(
    "content",
    [{"error": "something_new"}, {"error": ""}, {"error": "tab\tbed"}, {"error": 7}, {"error": None}, {}, {"error": "é"}],
)
def test_an_unknown_answer_is_refused_and_not_guessed(name: str, content: dict[str, Any]):
    assert refusal(name, 400, content).why in ("as_error_unknown", "as_words")


@pytest.mark.parametrize("status", [402, 404, 405, 409, 410, 418, 451])
def test_a_status_that_no_specification_gives_is_refused(status: int):
    assert refusal("CHALLENGE", status, {"error": "access_denied"}).why == f"as_{status}"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_later(status: int):
    reply = translate.to_told(
        message("TOKEN", **REQUESTS["TOKEN"]), Answer(status=status, content={}, retry_after_s=33), REFERENCE
    )
    assert error(reply) == "try_later" and reply.message["retry_after_s"] == 33
    assert error(told("TOKEN", status, {})) == "try_later"


def test_a_profile_names_error_codes_of_its_own_at_the_challenge_endpoint_only():
    assert error(told("CHALLENGE", 401, {"error": "username_or_otp_invalid", "auth_session": "s"}, JANSSEN)) == "wrong_answer"
    assert refusal("TOKEN", 401, {"error": "username_or_otp_invalid"}, JANSSEN).why == "as_error_unknown"


def test_the_text_of_an_error_never_reaches_the_device():
    reply = told("CHALLENGE", 400, {"error": "access_denied", "error_description": "CANARY", "error_uri": "https://CANARY"})
    assert "CANARY" not in repr(reply.message.fields)


# Answers: asking for more


def test_a_prompt_carries_what_a_person_needs():
    assert (
        told("CHALLENGE", 403, prompt().body).message.fields.items()
        >= {
            "auth_session": "session-1",
            "inputs": [{"name": "pin", "kind": 0, "min": 9, "max": 9, "check": 1, "label": "PIN"}],
            "message": "Ask for a PIN for this device",
            "tries_left": 5,
            "ttl_s": 600,
            "binding_word": "amber fox",
        }.items()
    )


@pytest.mark.parametrize(("reason", "code"), sorted(REFERENCE.reasons.items()))
@pytest.mark.parametrize("name", ["CHALLENGE", "TOKEN"])
def test_each_reason_is_told_by_its_row(name: str, reason: str, code: str):
    reply = told(name, 403, prompt(reason=reason, auth_session="next", tries_left=3, retry_after=60).body)
    assert reply.message["auth_session"] == "next"
    if code == translate.ASK:
        assert reply.message.name == "PROMPT" and reply.message["tries_left"] == 3
    else:
        assert error(reply) == code and reply.message["retry_after_s"] == 60
        assert reply.message.get("tries_left") == (3 if code == "wrong_answer" else None)


@pytest.mark.parametrize("reason", ["asleep", "", 7, ["none"], {}])
def test_an_unknown_reason_is_refused(reason: Any):
    assert refusal("CHALLENGE", 403, prompt(reason=reason).body).why == "as_reason_unknown"


def test_an_as_without_reasons_asks_again_after_a_wrong_answer():
    body = {"error": "insufficient_authorization", "auth_session": "s2", "otp_required": True}
    reply = told("CHALLENGE", 401, body, APPENDIX_B)
    assert reply.message["inputs"] == [{"name": "otp", "kind": 0, "min": 6, "max": 8, "label": "One-time code"}]
    assert refusal("CHALLENGE", 401, {**body, "otp_required": False}, APPENDIX_B).why == "as_asks_nothing_known"


def test_an_auth_session_that_is_not_renewed_stays_good():
    body = {"error": "insufficient_authorization", "otp_required": True}
    assert told("CHALLENGE", 403, body, APPENDIX_B, auth_session="s1").message["auth_session"] == "s1"
    assert refusal("CHALLENGE", 403, body, APPENDIX_B).why == "as_without_auth_session"


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({**PIN_INPUT, "name": "shoe_size"}, "as_input_name_unknown"),
        ({**PIN_INPUT, "name": "client_id"}, "as_input_name_unknown"),
        ({**PIN_INPUT, "kind": "retina"}, "as_input_kind_unknown"),
        ({**PIN_INPUT, "check": "luhn"}, "as_input_kind_unknown"),
        ({**PIN_INPUT, "min": -1}, "as_inputs"),
        ({**PIN_INPUT, "max": 65}, "as_inputs"),
        ({**PIN_INPUT, "max": True}, "as_inputs"),
        ({**PIN_INPUT, "choices": []}, "as_inputs"),
        ({**PIN_INPUT, "name": "Pin"}, "as_inputs"),
        ({"name": "pin"}, "as_inputs"),
        ("pin", "as_inputs"),
        (None, "as_inputs"),
    ],
)
def test_an_input_that_the_device_could_not_ask_for_is_refused(item: Any, why: str):
    assert refusal("CHALLENGE", 403, prompt(inputs=[item]).body).why == why


def test_with_nothing_to_type_the_prompt_lapses_when_the_device_is_to_look_again():
    waits = prompt(inputs=[], message="Approve WDJB-MJHT at https://as.example", retry_after=5).body
    reply = told("CHALLENGE", 403, waits).message
    assert (reply["inputs"], reply["ttl_s"]) == ([], 5)
    assert reply["message"] == "Approve WDJB-MJHT at https://as.example"
    assert told("CHALLENGE", 403, prompt(inputs=[]).body).message["ttl_s"] == translate.RETRY_S


def test_inputs_that_were_read_before_vouch_for_no_others():
    one, same = (told("CHALLENGE", 403, prompt(inputs=[{**PIN_INPUT, "min": 1}]).body).message for _ in range(2))
    assert one["inputs"] == same["inputs"]
    assert all(messages.pack(with_now(each)) == tables.pack(with_now(each)) for each in (one, same))
    for alike in (True, 1.0):
        assert refusal("CHALLENGE", 403, prompt(inputs=[{**PIN_INPUT, "min": alike}]).body).why == "as_inputs"


def with_now(reply: Message) -> Message:
    return Message(reply.name, {**reply.fields, "now": 1})


def test_several_inputs_are_shown_by_their_labels():
    username = {"name": "username", "kind": "text", "label": "User name"}
    reply = told("CHALLENGE", 403, prompt(inputs=[username, PIN_INPUT]).body).message
    assert [item["label"] for item in reply["inputs"]] == ["User name", "PIN"]
    assert "message" not in reply.fields


def test_too_many_inputs_are_refused():
    assert refusal("CHALLENGE", 403, prompt(inputs=[PIN_INPUT] * 9).body).why == "as_inputs"
    assert refusal("CHALLENGE", 403, prompt(inputs={"pin": 1}).body).why == "as_inputs"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\x1b[2Jc\x00", "a  b [2Jc"),
        ("\u202eevil\u200b", "evil"),
        ("ü" * 200, "ü" * 80),
        ("\ud800", None),
        ("", None),
        (7, None),
        (["x"], None),
    ],
)
def test_a_message_for_people_is_printable_and_short(text: Any, shown: str | None):
    assert told("CHALLENGE", 403, prompt(message=text).body).message.get("message") == shown


@pytest.mark.parametrize(
    ("number", "kept"), [(0, 0), (999, 255), (-1, None), (True, None), ("5", None), (1.5, None), (None, None)]
)
def test_tries_left_is_a_number_in_range_or_absent(number: Any, kept: int | None):
    assert told("CHALLENGE", 403, prompt(tries_left=number).body).message.get("tries_left") == kept


# Answers: granted


def test_a_code_and_its_session_are_handed_on():
    reply = told("CHALLENGE", 200, {"authorization_code": "code-1", "auth_session": "next", "iss": "https://as.example"})
    assert reply.message.name == "CODE" and reply.message["code"] == "code-1" and reply.message["auth_session"] == "next"
    assert "auth_session" not in told("CHALLENGE", 200, {"authorization_code": "code-1"}).message.fields


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "Bearer", "bearer"])
def test_tokens_are_handed_on(token_type: str):
    body = {
        "access_token": "a",
        "token_type": token_type,
        "expires_in": 300,
        "refresh_token": "r",
        "scope": "led:read",
        "auth_session": "s",
    }
    assert (
        told("TOKEN", 200, {**body, "id_token": "x"}).message.fields.items()
        >= {
            "access_token": "a",
            "token_type": "DPoP" if token_type.lower() == "dpop" else "Bearer",
            "ttl_s": 300,
            "refresh_token": "r",
            "granted_scope": "led:read",
            "auth_session": "s",
        }.items()
    )


def test_a_token_without_a_lifetime_gets_a_short_one():
    assert told("TOKEN", 200, {"access_token": "a", "token_type": "DPoP"}).message["ttl_s"] == translate.DEFAULT_TTL_S


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("CHALLENGE", {"code": "c"}, "as_words"),
        ("CHALLENGE", {"authorization_code": 5}, "as_words"),
        ("CHALLENGE", {"authorization_code": "a\nb"}, "as_words"),
        ("CHALLENGE", {"authorization_code": "c" * 513}, "as_too_long_code"),
        ("CHALLENGE", {"authorization_code": "c", "auth_session": "s" * 513}, "as_too_long_auth_session"),
        ("TOKEN", {"access_token": "a"}, "as_words"),
        ("TOKEN", {"access_token": "a", "token_type": "mac"}, "token_type"),
        ("TOKEN", {"access_token": "a", "token_type": "DPoP", "expires_in": "300"}, "as_words"),
        ("TOKEN", {"access_token": "a", "token_type": "DPoP", "expires_in": -1}, "as_words"),
        ("TOKEN", {"access_token": "a" * 2049, "token_type": "DPoP"}, "as_too_long_access_token"),
        ("DEVICE_CODE", {"device_code": "d", "user_code": "U"}, "as_words"),
    ],
)
def test_a_success_that_is_none_is_refused(name: str, content: dict[str, Any], why: str):
    assert refusal(name, 200, content).why == why


@pytest.mark.parametrize("uri", ["http://x.example", "https://a\\@b", "https://u:p@x.example", "https://x.example#f", "x"])
def test_a_person_is_sent_to_https_only(uri: str):
    body = {"device_code": "d", "user_code": "U", "verification_uri": uri, "expires_in": 9}
    assert refusal("DEVICE_CODE", 200, body).why == "as_words"


def test_a_user_code_is_shown():
    body = {"device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://as.example/device", "expires_in": 900}
    reply = told("DEVICE_CODE", 200, body)
    assert reply.message.name == "SHOW" and reply.message["interval_s"] == 5 and reply.message["ttl_s"] == 900


def test_a_revocation_is_done_whatever_its_200_holds():
    assert told("REVOKE", 200, {}).message.name == "RESULT"


# The offer


def offer(**changes: Any) -> Message:
    known = {
        "issuer": "https://as.example",
        "token_endpoint": "https://as.example/token",
        "code_challenge_methods_supported": ["S256"],
    }
    metadata = AuthorizationServerMetadata.model_validate({**known, **changes})
    endpoints = {"token": "https://as.example/token", "challenge": "https://as.example/challenge"}
    return translate.offer(message("DISCOVER", resource=1), metadata, endpoints, RESOURCES[1])


def test_an_offer_tells_where_proofs_go_and_whether_they_are_wanted():
    assert (
        offer().fields.items()
        >= {
            "issuer": "https://as.example",
            "token_endpoint": "https://as.example/token",
            "challenge_endpoint": "https://as.example/challenge",
            "resource_uri": "https://door.example/mcp",
            "dpop_supported": False,
        }.items()
    )
    assert offer(dpop_signing_alg_values_supported=["RS256", "ES256"])["dpop_supported"] is True
    assert "device_authorization_endpoint" not in offer().fields


@pytest.mark.parametrize("methods", [[], ["plain"]])
def test_an_as_without_s256_is_not_offered(methods: list[str]):
    with pytest.raises(Refused, match="as_without_s256"):
        offer(code_challenge_methods_supported=methods)
