"""A token that was revoked is refused within 60 s: how the MCP server asks back, and what it does when nobody answers.

Not what the AS answers (authorization_server/test_introspection.py).
"""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from host_sim import introspection
from host_sim.__main__ import main as host_sim_main
from host_sim.access_tokens import TokenError
from host_sim.introspection import Introspection
from host_sim.issuer import IssuerUnreachable
from host_sim.world import World
from tests.authorization_server import running as reference
from tests.authorization_server.browsing import Browser, issue_pin
from tests.authorization_server.parties import Party
from tests.authorization_server.web import person
from tests.brokers.running import free_port
from tests.journeys.conftest import embark, pair  # noqa: F401
from tests.mcp_server.conftest import ACCEPT, Served, modern, modern_headers, serving, write_configuration
from tests.mcp_server.issuer import Issuer, asked
from tests.mcp_server.test_tokens import Clock
from tests.peers.dpop_auth import DpopAuth
from tests.requirements import proves

ID, SECRET = "mcp: server", "a secret: with %25 + ünïcode signs"


def questions(issuer: Issuer) -> int:
    return issuer.fetched.get("/introspect", 0)


def test_an_answer_is_believed_for_half_a_minute_and_not_a_moment_longer(own: Issuer):
    async def walk() -> None:
        clock = Clock()
        asking = Introspection(asked(own), ID, SECRET, now_s=clock)
        for _ in range(5):
            await asking.demand_active("one")
        assert questions(own) == 1
        own.verdict = {"active": False}
        clock.now_s += 29.9
        await asking.demand_active("one")
        clock.now_s += 0.1
        for _ in range(5):
            with pytest.raises(TokenError, match="not active"):
                await asking.demand_active("one")
        assert questions(own) == 2, "an inactive answer is remembered as well"

    asyncio.run(walk())


def test_an_issuer_that_is_away_lets_nobody_in_for_longer_and_it_mends_itself(own: Issuer):
    async def walk() -> None:
        clock = Clock()
        asking = Introspection(asked(own), ID, SECRET, now_s=clock)
        await asking.demand_active("one")
        own.broken = True
        clock.now_s += 29
        await asking.demand_active("one")
        clock.now_s += 1
        for token in ("one", "two", "one"):
            with pytest.raises(IssuerUnreachable):
                await asking.demand_active(token)
        assert questions(own) == 2, "it is left alone for a while"
        own.broken = False
        clock.now_s += 1
        await asking.demand_active("two")

    asyncio.run(walk())


@pytest.mark.parametrize("verdict", [{}, {"active": None}, {"active": "true"}, {"active": 1}, [], [True], "x" * 70_000], ids=str)
def test_what_is_no_verdict_lets_nobody_in(own: Issuer, verdict: Any):
    own.verdict = verdict
    with pytest.raises(IssuerUnreachable):
        asyncio.run(Introspection(asked(own), ID, SECRET).demand_active("one"))


def test_nobody_is_asked_on_another_origin(own: Issuer):
    own.metadata = {"introspection_endpoint": own.url + ".evil.example/introspect"}
    with pytest.raises(IssuerUnreachable):
        asyncio.run(Introspection(asked(own), ID, SECRET).demand_active("one"))
    assert own.asked_with == []


def test_requests_at_the_same_time_share_one_question_and_who_leaves_takes_it_from_nobody(own: Issuer):
    async def walk() -> None:
        asking = Introspection(asked(own), ID, SECRET)
        first, *others = (asyncio.create_task(asking.demand_active("one")) for _ in range(20))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*others)
        assert questions(own) == 1
        credentials, form = own.asked_with[0]
        assert form == {"token": "one", "token_type_hint": "access_token"}
        expected = "mcp%3A+server:a+secret%3A+with+%2525+%2B+%C3%BCn%C3%AFcode+signs"
        assert base64.b64decode(credentials.removeprefix("Basic ")).decode() == expected

    asyncio.run(walk())


def test_only_so_many_answers_are_kept_and_the_oldest_go_first(own: Issuer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(introspection, "MAX_ANSWERS", 3)

    async def walk() -> None:
        asking = Introspection(asked(own), ID, SECRET)
        for token in ("one", "two", "three", "four", "four", "three", "two"):
            await asking.demand_active(token)
        assert questions(own) == 4
        await asking.demand_active("one")
        assert questions(own) == 5

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('client_id = "a"', "needs either client_secret_file"),
        ('client_id = "a"\nclient_secret = "b"\nclient_secret_file = "server.key"', "needs either client_secret_file"),
        ('client_secret = "b"', "client_id: is missing"),
        ('client_id = "a"\nclient_secret = "b"\nbelieved_s = 31', "believed_s: "),
    ],
)
def test_it_is_configured_whole_or_not_at_all(tmp_path: Path, issuer: Issuer, capsys: Any, table: str, said: str):
    path, _ = write_configuration(tmp_path, issuer, f"[introspection]\n{table}")
    assert host_sim_main(["mcp", "--config", str(path)]) == 2
    assert said in capsys.readouterr().err


BELIEVED_S = 1


@pytest.fixture
def world(tmp_path: Path, issuer: Issuer) -> Iterator[tuple[reference.Server, Served]]:
    """The AS, and an MCP server with credentials there, which believes its answers for a second."""
    port = free_port()
    resource = f"https://localhost:{port}/mcp"
    clients = [
        {"id": reference.BRIDGE, "secret_file": "bridge.secret"},
        {"id": "mcp-server", "secret": SECRET, "resource": resource},
    ]
    resources = [{"uri": resource, "scopes": ["led:read", "led:write"]}]
    with reference.server(tmp_path / "as", clients=clients, resources=resources) as server:
        around = {"ISSUER": server.issuer, "CA": str(server.ca), "LISTEN": f"127.0.0.1:{port}", "RESOURCE": resource}
        environment = {f"LATCHPIN_MCP__{name}": value for name, value in around.items()}
        (tmp_path / "mcp.secret").write_text(SECRET, encoding="utf-8")
        table = f'[introspection]\nclient_id = "mcp-server"\nclient_secret_file = "mcp.secret"\nbelieved_s = {BELIEVED_S}'
        with serving(tmp_path, issuer, table, environment=environment) as served:
            yield server, served


def call(served: Served, party: Party, token: str) -> httpx2.Response:
    with served.client(DpopAuth(party.key._key, token)) as client:
        return client.post(served.resource, json=modern("whoami", {}), headers=ACCEPT | modern_headers("whoami"))


def by_its_client(server: reference.Server, party: Party, tokens: dict[str, str]) -> None:
    assert party.post("revoke", {"token": tokens["refresh_token"]}).status_code == 200


def by_its_owner(server: reference.Server, party: Party, tokens: dict[str, str]) -> None:
    ada = Browser(server).sign_in("ada")
    ada.get(f"/devices/{party.device}")
    assert ada.send(f"/devices/{party.device}/unpair").status_code == 200


def owned_tokens(server: reference.Server, served: Served, party: Party) -> dict[str, str]:
    """Tokens of a device that ada lets in with a PIN from her page."""
    ada = person(server)
    party.start(resource=served.resource)
    pin = issue_pin(ada, party.name)
    return party.redeem(party.follow(pin=pin).json()["authorization_code"]).json()


@proves("RFC7662-4-a")
@pytest.mark.parametrize("revoked", [by_its_client, by_its_owner])
def test_after_a_revocation_the_tokens_are_refused(world: tuple[reference.Server, Served], revoked: Callable[..., None]):
    server, served = world
    party = Party(server)
    tokens = owned_tokens(server, served, party)
    token = tokens["access_token"]
    assert call(served, party, token).status_code == 200
    revoked(server, party, tokens)
    ended_s = time.monotonic()
    while (answer := call(served, party, token)).status_code == 200:
        assert time.monotonic() - ended_s < BELIEVED_S + 1
        time.sleep(0.1)
    assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert call(served, party, token).status_code == 401


def test_without_the_authorization_server_a_call_is_answered_503_until_it_is_back(world: tuple[reference.Server, Served]):
    server, served = world
    party = Party(server)
    token = party.redeem(party.earn_code(resource=served.resource)).json()["access_token"]
    assert call(served, party, token).status_code == 200
    server.stop()
    time.sleep(BELIEVED_S)
    away = call(served, party, token)
    assert away.status_code == 503 and away.headers["Retry-After"] == "5"
    server._start()
    time.sleep(introspection.ASK_AGAIN_S)
    assert call(served, party, token).status_code == 200


def test_the_world_asks_back(embark) -> None:  # noqa: F811
    async def journey(world: World) -> None:
        await pair(world)
        await world.device.wait_for("Answer")
        lines = (world.folder / "as.log").read_text().splitlines()
        assert any('"introspection"' in line and '"outcome":"active"' in line for line in lines)

    embark(journey, runtime="cpython")
