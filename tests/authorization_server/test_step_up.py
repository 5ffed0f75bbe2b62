"""More is asked of what was let in already: RFC 9470 at the challenge endpoint, and FiPA-04, section 6.2 at renewals.

Not at a browser: test_authorize.py.
"""

import jwt
import pytest

from tests.authorization_server import clocked, running
from tests.authorization_server.parties import DpopKey, Party, verifier_and_challenge
from tests.authorization_server.web import CLIENTS, NATIVE, authorize, came_back, decide, person, query
from tests.requirements import proves

POLICY = [
    {"acr": "urn:two", "challenges": ["pin", "pin"]},
    {"acr": "urn:one", "challenges": ["pin"]},
]
PLAIN = [POLICY[1], POLICY[0]]


@pytest.fixture
def server(tmp_path):
    with clocked.server(tmp_path, policy=PLAIN) as started:
        yield started


def claims(tokens: dict) -> dict:
    return jwt.decode(tokens["access_token"], options={"verify_signature": False})


def renewed(party: Party) -> dict[str, str]:
    """A new pair, for the code that comes next."""
    party.verifier, party.code_challenge = verifier_and_challenge()
    return {"response_type": "code", "code_challenge": party.code_challenge, "code_challenge_method": "S256"}


@proves("RFC9470-4-a")
def test_a_token_says_what_was_passed_for_it_and_when(server):
    party = Party(server)
    code = party.earn_code()
    passed = server.now_s
    server.now_s += 30
    tokens = party.redeem(code).json()
    assert (claims(tokens)["acr"], claims(tokens)["auth_time"]) == ("urn:one", passed)
    server.now_s += 3600
    later = claims(party.refresh(tokens["refresh_token"]).json())
    assert (later["acr"], later["auth_time"]) == ("urn:one", passed)


@proves("RFC9470-4-a", "FIPA-4.1-d")
def test_a_first_request_gets_the_class_that_it_asks_for(server):
    party = Party(server)
    party.start(acr_values="urn:made-up urn:two urn:one")
    assert party.follow(pin=server.issue_pin(party.name)).status_code == 403
    code = party.follow(pin=server.issue_pin(party.name)).json()["authorization_code"]
    assert claims(party.redeem(code).json())["acr"] == "urn:two"


@proves("RFC9470-5-a", "PROTOCOL-5-g")
def test_a_satisfied_session_steps_up_and_what_came_of_it_before_ends(server):
    party = Party(server)
    before = party.redeem(party.earn_code()).json()
    asked = party.follow(acr_values="urn:two", **renewed(party))
    assert (asked.status_code, asked.json()["error"]) == (403, "insufficient_authorization")
    for answer in range(2):
        response = party.follow(pin=server.issue_pin(party.name))
        assert response.status_code == (403, 200)[answer]
    tokens = party.redeem(response.json()["authorization_code"]).json()
    assert claims(tokens)["acr"] == "urn:two"
    assert party.refresh(before["refresh_token"]).json()["error"] == "invalid_grant"
    for enough in ("urn:two", "urn:one urn:two", "urn:made-up"):
        assert party.follow(acr_values=enough, **renewed(party)).status_code == 200


@proves("RFC9470-5-a")
def test_what_was_passed_longer_ago_than_max_age_is_asked_for_again(server):
    party = Party(server)
    party.redeem(party.earn_code())
    server.now_s += 60
    assert party.follow(max_age="60", **renewed(party)).status_code == 200
    server.now_s += 1
    assert party.follow(max_age="60", **renewed(party)).status_code == 403
    code = party.follow(pin=server.issue_pin(party.name)).json()["authorization_code"]
    assert claims(party.redeem(code).json())["auth_time"] == server.now_s


def test_a_satisfied_session_is_asked_for_a_larger_scope_and_a_person_for_it(tmp_path):
    resources = [{"uri": running.RESOURCE, "scopes": ["led:read", "led:write", "led:admin"]}]
    rules = [{"scope": "led:admin", "acr": "urn:two", "challenges": ["pin", "pin"]}, {"acr": "urn:one", "challenges": ["pin"]}]
    with clocked.server(tmp_path, policy=rules, resources=resources) as server:
        party = Party(server)
        before = party.redeem(party.earn_code(scope="led:read")).json()
        for scope, answers in (("led:read led:write", 1), ("led:admin led:read led:write", 2)):
            asked = party.follow(scope=scope, **renewed(party))
            assert (asked.status_code, asked.json()["error"]) == (403, "insufficient_authorization")
            assert sorted(server.admin("waiting")[0]["scope"].split()) == sorted(scope.split()), "the console says what for"
            for _ in range(answers):
                response = party.follow(pin=server.issue_pin(party.name))
            tokens = party.redeem(response.json()["authorization_code"]).json()
            assert sorted(tokens["scope"].split()) == sorted(scope.split())
        assert claims(tokens)["acr"] == "urn:two"
        assert party.refresh(before["refresh_token"]).json()["error"] == "invalid_grant"
        assert party.follow(scope="led:read", **renewed(party)).json()["error"] == "invalid_request", "never less"
        assert party.follow(scope="led:admin led:read led:write root", **renewed(party)).json()["error"] == "invalid_scope"


def test_no_larger_scope_without_a_key_or_while_a_session_waits(server):
    party = Party(server)
    party.start(scope="led:read")
    assert party.follow(scope="led:read led:write").json()["error"] == "invalid_request"
    bearer = Party(server, client=running.BEARER_APP, dpop=False)
    bearer.redeem(bearer.earn_code(scope="led:read"))
    assert bearer.follow(scope="led:read led:write").json()["error"] == "invalid_request"


def test_a_max_age_that_is_no_number_is_refused_and_costs_nothing(server):
    party = Party(server)
    assert party.start(max_age="-1").json()["error"] == "invalid_request"
    party.redeem(party.earn_code())
    assert party.follow(max_age="soon").json()["error"] == "invalid_request"
    assert party.follow().status_code == 200


def test_a_waiting_session_keeps_its_code_challenge_and_so_does_one_without_a_key(server):
    party = Party(server)
    party.start()
    assert party.follow(**renewed(party)).json()["error"] == "invalid_request"
    bearer = Party(server, client=running.BEARER_APP, dpop=False)
    bearer.redeem(bearer.earn_code())
    assert bearer.follow(**renewed(bearer)).json()["error"] == "invalid_request"


# When tokens are renewed


@pytest.fixture
def strict(tmp_path):
    with clocked.server(tmp_path, policy=[{"challenges": ["pin"], "max_age_s": 86400}]) as started:
        yield started


@proves("FIPA-6.2-b")
@pytest.mark.parametrize("client", [running.BRIDGE, running.APP])
def test_a_renewal_wants_what_is_too_old_proved_again_and_goes_on_where_the_challenge_endpoint_leads(strict, client):
    party = Party(strict, client=client)
    tokens = party.earn_tokens()
    strict.now_s += 86400
    tokens = party.refresh(tokens["refresh_token"]).json()
    strict.now_s += 1
    response = party.refresh(tokens["refresh_token"])
    assert (response.status_code, response.json()["error"]) == (403, "insufficient_authorization")
    assert [item["name"] for item in response.json()["inputs"]] == ["pin"]
    waiting = strict.admin("waiting")[0]["device"]
    pin = strict.issue_pin(waiting)
    again = party.refresh(tokens["refresh_token"])  # its reply was lost: the PIN stays good
    assert again.json()["auth_session"] == response.json()["auth_session"]
    party.auth_session = again.json()["auth_session"]
    assert party.follow(pin=pin).json()["error"] == "invalid_request"  # a code_challenge it has not had yet
    answered = party.follow(pin=pin, **renewed(party))
    assert answered.status_code == 200, answered.text
    fresh = party.redeem(answered.json()["authorization_code"]).json()
    assert claims(fresh)["auth_time"] == strict.now_s
    assert claims(fresh).get("device_id") == (party.device if client == running.BRIDGE else None)
    assert party.refresh(fresh["refresh_token"]).status_code == 200


@proves("FIPA-6.2-b", "FIPA-9.6.1-a")
def test_that_auth_session_is_bound_to_the_key_of_the_tokens(strict):
    party = Party(strict)
    tokens = party.earn_tokens()
    strict.now_s += 86401
    asked = party.refresh(tokens["refresh_token"]).json()
    response = party.post("challenge", {"auth_session": asked["auth_session"]} | renewed(party), key=DpopKey())
    assert response.json()["error"] == "invalid_dpop_proof"


def test_a_renewal_that_only_a_browser_could_confirm_says_so_without_an_auth_session(tmp_path):
    with clocked.server(tmp_path, clients=CLIENTS, policy=[{"web": "required", "max_age_s": 60}]) as server:
        browser = person(server)
        fields, verifier = query(NATIVE)
        authorize(browser, fields)
        code = came_back(decide(browser))["code"]
        data = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "client_id": NATIVE}
        tokens = server.http.post("/token", data=data | {"redirect_uri": fields["redirect_uri"]}).json()
        server.now_s += 61
        data = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": NATIVE}
        response = server.http.post("/token", data=data)
        assert (response.status_code, sorted(response.json())) == (403, ["error", "error_description"])
