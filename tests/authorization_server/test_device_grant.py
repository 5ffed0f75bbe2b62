"""The device grant (RFC 8628): the code on the screen, the page where it is entered, and the device that polls meanwhile.

Not a foreign client: tests/peers.
"""

import re

import jwt
import pytest

from tests.authorization_server import clocked, running
from tests.authorization_server.parties import DpopKey, Party
from tests.authorization_server.web import CLIENTS, person
from tests.requirements import proves

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def server(tmp_path):
    with clocked.server(tmp_path, clients=CLIENTS, policy=[{"challenges": ["pin"], "acr": "urn:one"}]) as started:
        yield started


@pytest.fixture
def ada(server):
    return person(server)


def ask(party: Party, **changes: str) -> dict:
    fields = {"client_id": party.client, "scope": "led:read", "resource": running.RESOURCE, "device_id": party.device}
    return party.post("device_authorization", fields | changes).json()


def poll(party: Party, shown: dict, **options):
    fields = {"grant_type": GRANT, "device_code": shown["device_code"], "client_id": party.client}
    return party.post("token", fields, **options)


def enter(browser, code: str, decision: str | None = "allow"):
    browser.get("/device")
    browser.send("/device", user_code=code)
    return browser.send("/device", decision=decision) if decision and browser.page.status_code == 200 else browser.page


@proves("RFC8628-3.2-a", "RFC8628-3.5-a", "RFC9470-4-a", "FIPA-1.3-a")
@pytest.mark.parametrize("client", [running.BRIDGE, running.APP])
def test_a_person_compares_the_code_and_lets_the_device_in(server, ada, client):
    party = Party(server, client=client)
    shown = ask(party)
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", shown["user_code"])
    assert (shown["verification_uri"], shown["interval"], shown["expires_in"]) == (server.issuer + "/device", 5, 600)
    pending = poll(party, shown)
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    page = enter(ada, shown["user_code"], decision=None)
    assert page.status_code == 200 and shown["user_code"] in page.text and party.device in page.text
    assert ("it says so itself" in page.text) == (client == running.APP)
    server.now_s += 5
    assert poll(party, shown).json()["error"] == "authorization_pending"
    assert ada.send("/device", decision="allow").status_code == 200
    tokens = poll(party, shown).json()
    assert (tokens["token_type"], tokens["scope"]) == ("DPoP", "led:read")
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["sub"] == server.services.accounts.by_name("ada").id
    assert (claims["acr"], claims["cnf"]) == ("urn:one", {"jkt": party.key.jkt})
    assert claims.get("device_id") == (party.device if client == running.BRIDGE else None)
    assert "auth_time" in claims
    assert party.refresh(tokens["refresh_token"]).status_code == 200


@proves("RFC8628-3.5-a")
def test_who_polls_too_soon_waits_five_seconds_longer_each_time(server, ada):
    party = Party(server, client=running.APP)
    shown = ask(party)
    for wait_s, error in ((0, "authorization_pending"), (4, "authorization_pending"), (3, "slow_down"), (8, "slow_down")):
        server.now_s += wait_s
        assert poll(party, shown).json()["error"] == error
    server.now_s += 15
    assert poll(party, shown).json()["error"] == "authorization_pending"
    enter(ada, shown["user_code"])
    assert poll(party, shown).status_code == 200


@proves("RFC8628-3.5-a")
def test_a_refusal_and_an_end_are_told_apart(server, ada):
    refused, late = Party(server, client=running.APP), Party(server, client=running.APP)
    shown, expired = ask(refused), ask(late)
    enter(ada, shown["user_code"], "refuse")
    assert poll(refused, shown).json()["error"] == "access_denied"
    server.now_s += 600
    for _ in range(2):
        assert poll(late, expired).json()["error"] == "expired_token"
        server.now_s += 3600
    assert enter(ada.sign_in("ada"), expired["user_code"]).status_code == 404


@proves("RFC8628-6.1-a")
def test_a_code_is_taken_however_it_is_typed(server, ada):
    shown = ask(Party(server, client=running.APP))
    assert enter(ada, " " + shown["user_code"].replace("-", " ").lower() + "\t").status_code == 200


@proves("RFC8628-3.3.1-a")
def test_a_code_that_comes_in_the_url_is_shown_for_comparison_and_lets_nobody_in_by_itself(server, ada):
    party = Party(server, client=running.APP)
    shown = ask(party)
    page = ada.get(shown["verification_uri_complete"].removeprefix(server.issuer))
    assert shown["user_code"] in page.text
    assert poll(party, shown).json()["error"] == "authorization_pending"
    compared = ada.send("/device")
    assert "Its screen must show this code" in compared.text
    server.now_s += 5
    assert poll(party, shown).json()["error"] == "authorization_pending"


@proves("RFC8628-5.1-a")
def test_guesses_of_codes_are_counted_by_account_and_a_right_one_clears_none_of_them(server, ada):
    mine = Party(server, client=running.APP)
    for guess in range(20):
        assert enter(ada, f"BBBB-BB{'BCDFGHJKLMNPQRSTVWXZ'[guess]}B").status_code == 404
        if guess % 7 == 3:
            assert enter(ada, ask(mine)["user_code"]).status_code == 200
    victim = ask(Party(server, client=running.APP))
    assert enter(ada, victim["user_code"]).status_code == 429
    server.now_s += 86400
    ada.sign_in("ada")
    assert enter(ada, ask(mine)["user_code"]).status_code == 200


def test_the_page_wants_somebody_who_is_signed_in_and_a_form_of_its_own(server, ada):
    shown = ask(Party(server, client=running.APP))
    stranger = server.client()
    response = stranger.get("/device", params={"user_code": shown["user_code"]})
    assert response.status_code == 303 and "/sign-in?next=" in response.headers["location"]
    assert ada.post("/device", {"user_code": shown["user_code"], "decision": "allow"}).status_code == 403


def test_a_lost_reply_is_made_good_for_the_same_key_and_for_nobody_else(server, ada):
    party, bearer = Party(server, client=running.APP), Party(server, client=running.BEARER_APP, dpop=False)
    shown, unbound = ask(party), ask(bearer)
    enter(ada, shown["user_code"])
    enter(ada, unbound["user_code"])
    assert poll(party, shown, key=DpopKey()).json()["error"] == "invalid_dpop_proof"
    first = poll(party, shown).json()
    second = poll(party, shown).json()
    assert party.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.refresh(second["refresh_token"]).status_code == 200
    lost = poll(bearer, unbound).json()
    assert poll(bearer, unbound).json()["error"] == "invalid_grant"
    assert bearer.refresh(lost["refresh_token"]).json()["error"] == "invalid_grant"


def test_what_was_revoked_does_not_come_back_by_its_device_code(server, ada):
    party = Party(server, client=running.APP)
    shown = ask(party)
    enter(ada, shown["user_code"])
    tokens = poll(party, shown).json()
    party.post("revoke", {"token": tokens["refresh_token"], "client_id": running.APP})
    assert poll(party, shown).json()["error"] == "invalid_grant"


def test_a_device_belongs_to_whoever_let_it_in_and_nobody_else_lets_it_in_then(server, ada):
    party = Party(server)
    enter(ada, ask(party)["user_code"])
    grace = person(server, "grace")
    shown = ask(party)
    assert enter(grace, shown["user_code"]).status_code == 403
    assert poll(party, shown).json()["error"] == "authorization_pending"
    assert enter(ada, shown["user_code"]).status_code == 200
    assert poll(party, shown).status_code == 200


def test_a_device_that_asks_anew_shows_one_code_alone(server, ada):
    party = Party(server)
    older, newer = ask(party), ask(party)
    assert enter(ada, older["user_code"]).status_code == 404
    assert poll(party, older).json()["error"] == "expired_token"
    assert enter(ada, newer["user_code"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "nobody-knows-me"}, "unauthorized_client"),
        ({"client_id": running.OUTSIDER}, "unauthorized_client"),
        ({"scope": "made:up"}, "invalid_scope"),
        ({"resource": "https://elsewhere.example/"}, "invalid_target"),
        ({"device_id": "a b"}, "invalid_request"),
    ],
)
def test_who_may_not_ask_is_shown_no_code(server, changes, error):
    assert ask(Party(server, client=running.APP), **changes)["error"] == error


def test_a_made_up_or_foreign_device_code_is_an_invalid_grant(server):
    shown = ask(Party(server, client=running.APP))
    stranger = Party(server, client=running.BEARER_APP)
    assert poll(stranger, shown).json()["error"] == "invalid_grant"
    assert poll(stranger, {"device_code": "made-up"}).json()["error"] == "invalid_grant"
    assert stranger.post("token", {"grant_type": GRANT, "client_id": stranger.client}).json()["error"] == "invalid_request"


def test_a_public_client_cannot_show_codes_without_end(server, monkeypatch):
    monkeypatch.setattr("host_sim.authorization_server.device_grant.MAX_WAITING", 3)
    party = Party(server, client=running.APP)
    asked = [ask(party).get("error") for _ in range(4)]
    assert asked == [None, None, None, "temporarily_unavailable"]
    server.now_s += 600
    assert "user_code" in ask(party)
