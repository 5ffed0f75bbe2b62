"""GET /authorize and POST /par: sign in, consent, and the way back, with a clock that the test moves.

Not the pages' looks (the console's tests) nor what a code is worth afterwards (test_tokens.py).
"""

from urllib.parse import urlencode

import jwt
import pytest

from tests.authorization_server import browsing, clocked, running
from tests.authorization_server.browsing import Browser
from tests.authorization_server.parties import DpopKey, basic
from tests.authorization_server.web import (
    BACK,
    CLIENTS,
    NATIVE,
    SECRET,
    WEB,
    authorize,
    came_back,
    decide,
    person,
    query,
)
from tests.requirements import proves

POLICY = [
    {"scope": "door:open", "challenges": ["otp"], "acr": "urn:two"},
    {"scope": "led:write", "web": "required", "acr": "urn:web"},
    {"challenges": ["pin"], "acr": "urn:one"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with clocked.server(tmp_path_factory.mktemp("as"), clients=CLIENTS, policy=POLICY) as started:
        yield started


@pytest.fixture(scope="module")
def ada(server):
    return person(server)


def token(server, code: str, verifier: str, client: str = WEB, **changes: str):
    fields = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "client_id": client}
    fields |= {"redirect_uri": BACK if client == WEB else "http://127.0.0.1:5123/back"} | changes
    headers = {"Authorization": basic(WEB, SECRET)} if client == WEB else {}
    return server.http.post("/token", data={name: value for name, value in fields.items() if value}, headers=headers)


@proves("RFC9207-2-a", "FIPA-5.2.2.1.1-c", "RFC6749-4.1.2-b", "RFC7636-4.6-a")
def test_a_person_signs_in_allows_and_the_client_gets_tokens_in_that_person_s_name(server):
    browsing_ada = Browser(server)
    server.services.accounts.create("grace", browsing.PASSWORD)
    fields, verifier = query(scope="led:read")
    page = authorize(browsing_ada, fields)
    assert page.status_code == 200 and "Sign in" in page.text
    sent = browsing_ada.post("/sign-in", browsing_ada.form("/sign-in") | {"name": "grace", "password": browsing.PASSWORD})
    browsing_ada.page = browsing_ada.http.get(sent.headers["location"])
    assert "The Web App" in browsing_ada.page.text and "led:read" in browsing_ada.page.text
    assert "https://app.example" in browsing_ada.page.headers["content-security-policy"]
    response = decide(browsing_ada)
    assert response.headers["location"].startswith(BACK + "&")
    said = came_back(response)
    assert (said["iss"], said["state"], said["from"]) == (server.issuer, "s t&te=1", "latchpin")
    assert token(server, said["code"], "w" * 43).json()["error"] == "invalid_grant"
    tokens = token(server, said["code"], verifier).json()
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["sub"] == server.services.accounts.by_name("grace").id
    assert (claims["client_id"], claims["acr"], claims["auth_time"]) == (WEB, "urn:one", server.now_s)
    assert "device_id" not in claims
    assert token(server, said["code"], verifier).json()["error"] == "invalid_grant"


@proves("RFC6749-4.1.3-b")
@pytest.mark.parametrize("where", ["", "https://app.example/back", "https://attacker.example/"])
def test_a_code_wants_the_redirect_uri_that_it_was_sent_to(server, ada, where):
    fields, verifier = query(prompt="consent")
    authorize(ada, fields)
    code = came_back(decide(ada))["code"]
    assert token(server, code, verifier, redirect_uri=where).json()["error"] == "invalid_grant"
    assert token(server, code, verifier).status_code == 200


@proves("RFC6749-4.1.2.1-a", "RFC9700-2.1-a")
@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://attacker.example/back"},
        {"redirect_uri": BACK + "&more=1"},
        {"redirect_uri": BACK.replace("app.", "APP.")},
        {"redirect_uri": "https://app.example/back"},
        {"client_id": "nobody-knows-me"},
        {"client_id": running.OUTSIDER},
        {"client_id": None},
        {"client_id": NATIVE},
        {"client_id": running.APP},
        {"request_uri": "urn:ietf:params:oauth:request_uri:made-up"},
        {"state": "s" * 5000},
    ],
)
def test_without_a_client_and_a_place_of_its_own_a_person_is_told_and_nobody_is_redirected(server, ada, changes):
    response = authorize(ada, query(**changes)[0])
    assert response.status_code == 400 and "location" not in response.headers
    assert "attacker" not in response.text and "made-up" not in response.text


def test_a_parameter_that_stands_there_twice_is_refused(server, ada):
    response = ada.http.get("/authorize?" + urlencode(query()[0]) + "&scope=led:write")
    assert response.status_code == 400


@proves("RFC6749-4.1.2.1-b", "RFC9207-2-a", "RFC9700-2.1.1-a")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": "https://elsewhere.example/"}, "invalid_target"),
        ({"scope": "made:up"}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"resource": running.OTHER_RESOURCE, "scope": "door:open"}, "access_denied"),
    ],
)
def test_every_other_error_goes_back_to_the_client_with_state_and_issuer(server, changes, error):
    said = came_back(authorize(Browser(server), query(**changes)[0]))
    assert (said["error"], said["state"], said["iss"]) == (error, "s t&te=1", server.issuer)
    assert "code" not in said


def test_a_person_who_refuses_is_heard_by_the_client(server, ada):
    authorize(ada, query(prompt="consent")[0])
    assert came_back(decide(ada, "refuse"))["error"] == "access_denied"


@proves("RFC8252-8.6-a")
def test_consent_is_remembered_for_client_and_scope_where_the_client_can_be_told_from_others(server):
    browser = person(server, "consenting")
    authorize(browser, query()[0])
    decide(browser)
    assert "code" in came_back(authorize(browser, query()[0]))
    assert "code" in came_back(authorize(browser, query(prompt="none")[0]))
    assert authorize(browser, query(prompt="consent")[0]).status_code == 200
    assert authorize(browser, query(scope="led:read led:write")[0]).status_code == 200
    assert came_back(authorize(browser, query(scope="led:read led:write", prompt="none")[0]))["error"] == "consent_required"
    # A public client on loopback could be anybody: it is asked for each time.
    for _ in range(2):
        assert authorize(browser, query(NATIVE)[0]).status_code == 200
        assert "code" in came_back(decide(browser))


@proves("RFC8252-7.3-a", "FIPA-5-b")
def test_an_app_on_loopback_may_listen_on_any_port_and_nowhere_else(server, ada):
    for port in (1, 49152, 65535):
        authorize(ada, query(NATIVE, redirect_uri=f"http://127.0.0.1:{port}/back")[0])
        assert decide(ada).headers["location"].startswith(f"http://127.0.0.1:{port}/back?")
    authorize(ada, query(NATIVE, redirect_uri="com.example.app:/back")[0])
    assert decide(ada).headers["location"].startswith("com.example.app:/back?")
    for where in (
        "http://127.0.0.1:80/other",
        "http://localhost:80/back",
        "http://127.0.0.1.example:80/back",
        "http://a@127.0.0.1:80/back",
    ):
        assert authorize(ada, query(NATIVE, redirect_uri=where)[0]).status_code == 400


def test_a_consent_that_no_page_of_ours_sent_is_refused(server, ada):
    fields, _ = query(prompt="consent")
    authorize(ada, fields)
    form = ada.form("/authorize") | {"decision": "allow"}
    assert ada.post("/authorize", form | {"csrf": "0" * 64}).status_code == 403
    assert ada.http.post("/authorize", data=form, headers={"Origin": "https://attacker.example"}).status_code == 403


# Step-up (RFC 9470)


@proves("RFC9470-5-a")
@pytest.mark.parametrize("asked", [{"max_age": "60"}, {"max_age": "0"}, {"prompt": "login"}])
def test_who_signed_in_too_long_ago_signs_in_again_and_the_token_says_when(tmp_path, asked):
    with clocked.server(tmp_path, clients=CLIENTS) as server:
        browser = person(server)
        authorize(browser, query()[0])
        decide(browser)
        server.now_s += 61
        assert "code" in came_back(authorize(browser, query(max_age="61")[0]))
        fields, verifier = query(**asked)
        page = authorize(browser, fields)
        assert page.status_code == 200 and 'type="password"' in page.text
        server.now_s += 5
        sent = browser.post("/sign-in", browser.form("/sign-in") | {"name": "ada", "password": browsing.PASSWORD})
        signed_in = server.now_s
        server.now_s += 30
        said = came_back(browser.http.get(sent.headers["location"]))
        claims = jwt.decode(token(server, said["code"], verifier).json()["access_token"], options={"verify_signature": False})
        assert claims["auth_time"] == signed_in
        assert came_back(authorize(browser, query(max_age="1", prompt="none")[0]))["error"] == "login_required"


# Pushed requests (RFC 9126)


def push(server, fields: dict[str, str], **headers: str):
    return server.http.post("/par", data=fields, headers={"Authorization": basic(WEB, SECRET)} | headers)


@proves("RFC9126-2.2-a", "RFC9126-4-a")
def test_a_pushed_request_is_good_for_one_decision_of_its_own_client(server, ada):
    fields, verifier = query(prompt="consent")
    response = push(server, fields)
    assert response.status_code == 201 and sorted(response.json()) == ["expires_in", "request_uri"]
    short = {"client_id": WEB, "request_uri": response.json()["request_uri"]}
    assert authorize(ada, short | {"client_id": NATIVE}).status_code == 400
    for _ in range(2):  # a page may be loaded again
        assert authorize(ada, short, scope="led:write").status_code == 200
        assert "led:write" not in ada.page.text
    form = ada.form("/authorize") | {"decision": "allow"}
    said = came_back(ada.post("/authorize", form))
    assert token(server, said["code"], verifier).json()["scope"] == "led:read"
    assert ada.post("/authorize", form).status_code == 400
    assert authorize(ada, short).status_code == 400


@proves("RFC9126-2.2-a")
def test_a_pushed_request_ends_with_its_time_or_its_refusal(tmp_path):
    with clocked.server(tmp_path, clients=CLIENTS) as server:
        browser = person(server)
        late, refused = (push(server, query(prompt="consent")[0]).json()["request_uri"] for _ in range(2))
        authorize(browser, {"client_id": WEB, "request_uri": refused})
        assert came_back(decide(browser, "refuse"))["error"] == "access_denied"
        assert authorize(browser, {"client_id": WEB, "request_uri": refused}).status_code == 400
        server.now_s += 600
        assert authorize(browser, {"client_id": WEB, "request_uri": late}).status_code == 400


@proves("RFC9126-2.1-a")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"redirect_uri": "https://attacker.example/"}, "invalid_request"),
        ({"scope": "made:up"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"dpop_jkt": "A" * 43}, None),
    ],
)
def test_a_push_is_checked_like_the_request_itself(server, changes, error):
    response = push(server, query(**changes)[0])
    assert response.json().get("error") == error


def test_a_push_wants_the_client_s_secret(server):
    response = server.http.post("/par", data=query()[0])
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert server.http.post("/par", data=query(running.OUTSIDER)[0]).json()["error"] == "unauthorized_client"


@proves("RFC9449-10-a")
def test_a_code_is_bound_to_the_key_that_was_named_or_proved(server, ada):
    key, other = DpopKey(), DpopKey()

    def proof(signer: DpopKey, endpoint: str) -> dict[str, str]:
        nonce = server.http.get("/livez").headers["dpop-nonce"]
        return {"DPoP": signer.sign(f"{server.issuer}/{endpoint}", nonce)}

    fields, verifier = query(prompt="consent")
    assert push(server, fields | {"dpop_jkt": other.jkt}, **proof(key, "par")).json()["error"] == "invalid_dpop_proof"
    pushed = push(server, fields, **proof(key, "par")).json()["request_uri"]
    for asked in ({"client_id": WEB, "request_uri": pushed}, fields | {"dpop_jkt": key.jkt}):
        authorize(ada, asked)
        code = came_back(decide(ada))["code"]
        data = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": BACK}
        basic_header = {"Authorization": basic(WEB, SECRET)}
        for wrong in ({}, proof(other, "token")):
            refused = server.http.post("/token", data=data, headers=basic_header | wrong).json()
            assert refused["error"] == "invalid_dpop_proof"
        granted = server.http.post("/token", data=data, headers=basic_header | proof(key, "token")).json()
        assert granted["token_type"] == "DPoP"


# FiPA: redirect_to_web


def challenge(server, **changes: str | None):
    fields, verifier = query(NATIVE, scope="led:write", device_id="lp-1", **changes)
    return server.http.post("/challenge", data=fields), verifier


@proves("FIPA-5.2.2.1-b", "FIPA-9.2-a", "FIPA-5.2.2.1.1-c")
def test_policy_sends_a_client_to_the_web_with_its_request_pushed(server, ada):
    response, verifier = challenge(server)
    assert response.status_code == 403
    body = response.json()
    assert (body["error"], body["expires_in"]) == ("redirect_to_web", 600)
    authorize(ada, {"client_id": NATIVE, "request_uri": body["request_uri"]})
    said = came_back(decide(ada))
    tokens = token(server, said["code"], verifier, NATIVE).json()
    assert tokens["scope"] == "led:write"
    assert jwt.decode(tokens["access_token"], options={"verify_signature": False})["acr"] == "urn:web"


@proves("FIPA-5.2.2.1.1-b")
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"redirect_uri": None},
        {"redirect_uri": "https://attacker.example/"},
    ],
)
def test_no_request_uri_comes_without_a_code_challenge_or_a_place_to_come_back_to(server, changes):
    response, _ = challenge(server, **changes)
    assert response.status_code == 403 and sorted(response.json()) == ["error", "error_description"]


def test_what_otp_guards_is_not_given_for_a_password(server):
    fields = {"client_id": NATIVE, "scope": "door:open", "resource": running.OTHER_RESOURCE, "device_id": "lp-1"}
    assert server.http.post("/device_authorization", data=fields).json()["error"] == "access_denied"
