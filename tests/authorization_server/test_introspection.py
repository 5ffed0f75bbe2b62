"""POST /introspect (RFC 7662), and clients that the console line adds.

Not what a token says of itself: test_tokens.py.
"""

import pytest

from host_sim.__main__ import main
from tests.authorization_server import clocked, running
from tests.authorization_server.parties import Party, basic
from tests.authorization_server.web import CLIENTS, SECRET, SERVER, WEB
from tests.requirements import proves


@pytest.fixture
def server(tmp_path):
    with clocked.server(tmp_path, clients=CLIENTS) as started:
        yield started


def introspect(server, token: str, name: str = SERVER, **more: str):
    return server.http.post("/introspect", data={"token": token} | more, headers={"Authorization": basic(name, SECRET)})


@proves("RFC7662-2.2-a", "RFC7662-4-a")
def test_a_good_token_is_active_with_what_it_says_and_a_revoked_or_expired_one_is_not(server):
    party = Party(server)
    tokens = party.earn_tokens()
    known = introspect(server, tokens["access_token"], token_type_hint="access_token").json()
    assert known["active"] is True
    assert (known["token_type"], known["scope"], known["aud"]) == ("DPoP", "led:read", running.RESOURCE)
    assert (known["client_id"], known["device_id"], known["cnf"]) == (running.BRIDGE, party.device, {"jkt": party.key.jkt})
    assert known["exp"] == server.now_s + 300 and known["iss"] == server.issuer
    party.post("revoke", {"token": tokens["refresh_token"]})
    assert introspect(server, tokens["access_token"]).json() == {"active": False}
    late = Party(server).earn_tokens()["access_token"]
    server.now_s += 300
    assert introspect(server, late).json() == {"active": False}


@proves("RFC7662-2.2-a", "RFC7662-4-a")
def test_of_any_other_token_nothing_is_said(server):
    elsewhere = Party(server)
    foreign = elsewhere.redeem(elsewhere.earn_code(resource=running.OTHER_RESOURCE, scope="door:open")).json()
    mine = Party(server).earn_tokens()
    others = (foreign["access_token"], mine["refresh_token"], mine["access_token"][:-6] + "AAAAAA", "made-up", "a.b.c")
    for token in others:
        assert introspect(server, token).json() == {"active": False}


@proves("RFC7662-2.1-a")
@pytest.mark.parametrize("header", [{}, {"Authorization": basic(SERVER, "wrong")}, {"Authorization": basic(WEB, SECRET)}])
def test_nobody_but_a_resource_server_may_ask(server, header):
    token = Party(server).earn_tokens()["access_token"]
    response = server.http.post("/introspect", data={"token": token}, headers=header)
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert "WWW-Authenticate" in response.headers


def test_a_resource_server_is_no_client_and_vouches_for_no_device(server):
    fields = {"response_type": "code", "scope": "led:read", "device_id": "lp-1", "resource": running.RESOURCE}
    for endpoint in ("challenge", "device_authorization", "par"):
        response = server.http.post(f"/{endpoint}", data=fields, headers={"Authorization": basic(SERVER, SECRET)})
        assert response.json()["error"] == "unauthorized_client"


def test_the_console_line_adds_clients_to_a_server_that_runs(tmp_path):
    with running.server(tmp_path) as server:
        added = server.run("client", "add", "rs", "--resource-server-of", running.RESOURCE)
        assert added.returncode == 0, added.stderr
        secret = added.stdout.split()[-1]
        token = Party(server).earn_tokens()["access_token"]
        known = server.http.post("/introspect", data={"token": token}, headers={"Authorization": basic("rs", secret)}).json()
        assert known["active"] is True
        assert server.run("client", "add", "new-app").returncode == 0
        assert Party(server, client="new-app").start().status_code == 403
        listed = server.run("client", "list").stdout
        assert f"serves {running.RESOURCE}" in listed and "new-app" in listed and secret not in listed
        taken = server.run("client", "add", running.APP)
        assert (taken.returncode, "choose another id" in taken.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("bad id",),
        ("app", "--redirect-uri", "http://app.example/back"),
        ("app", "--redirect-uri", "javascript:alert(1)"),
        ("app", "--redirect-uri", "https://app.example/back#fragment"),
        ("app", "--redirect-uri", "https://app.example/a b"),
        ("app", "--name", ""),
        ("app", "--resource-server-of", "https://elsewhere.example/"),
    ],
)
def test_a_client_that_cannot_be_is_named_and_not_added(server, words, capsys):
    assert main(["as", "client", "add", *words, "--config", str(server.config)]) in (1, 2)
    assert capsys.readouterr().err.startswith("latchpin as: ")
    assert server.services.clients.get("app") is None
