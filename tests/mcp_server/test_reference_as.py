"""Tokens that the reference AS issued after a PIN, at the MCP server: the two meet only through what the AS publishes.

Not about each check (test_tokens.py).
"""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.authorization_server import running as reference
from tests.authorization_server.parties import Party
from tests.brokers.running import free_port
from tests.mcp_server.conftest import ACCEPT, Served, modern, modern_headers, serving
from tests.mcp_server.issuer import Issuer
from tests.peers.dpop_auth import DpopAuth


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[reference.Server, Served]]:
    """The AS, and an MCP server whose configuration names it through the environment."""
    folder = tmp_path_factory.mktemp("as")
    port = free_port()
    resource = f"https://localhost:{port}/mcp"
    resources = [
        {"uri": resource, "scopes": ["led:read", "led:write"]},
        {"uri": reference.OTHER_RESOURCE, "scopes": ["led:write"]},
    ]
    own = Issuer(tmp_path_factory.mktemp("own"))
    with reference.server(folder, resources=resources) as server:
        around = {"ISSUER": server.issuer, "CA": str(server.ca), "LISTEN": f"127.0.0.1:{port}", "RESOURCE": resource}
        environment = {f"LATCHPIN_MCP__{name}": value for name, value in around.items()}
        with serving(tmp_path_factory.mktemp("mcp"), own, environment=environment) as served:
            yield server, served
    own.close()


def call(served: Served, party: Party, token: str, tool: str) -> httpx2.Response:
    with served.client(DpopAuth(party.key._key, token)) as client:
        return client.post(served.resource, json=modern(tool, {}), headers=ACCEPT | modern_headers(tool))


def earned(party: Party, resource: str, scope: str) -> dict[str, str]:
    answer = party.redeem(party.earn_code(resource=resource, scope=scope))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_token_earned_with_a_pin_opens_and_names_the_device(world: tuple[reference.Server, Served]):
    server, served = world
    party = Party(server)
    tokens = earned(party, served.resource, "led:read led:write")
    who = call(served, party, tokens["access_token"], "whoami")
    assert who.status_code == 200, who.text
    told = who.json()["result"]["structuredContent"]
    assert (told["device"], told["client"], told["scopes"]) == (party.device, reference.BRIDGE, ["led:read", "led:write"])
    assert told["key"] == party.key.jkt
    blinked = call(served, party, tokens["access_token"], "blink").json()["result"]["content"][0]["text"]
    assert blinked == f"The LED of {party.device} blinked once."
    renewed = party.refresh(tokens["refresh_token"]).json()
    assert call(served, party, renewed["access_token"], "whoami").status_code == 200


def test_less_scope_another_key_and_another_resource_are_refused(world: tuple[reference.Server, Served]):
    server, served = world
    party, thief = Party(server), Party(server)
    token = earned(party, served.resource, "led:read")["access_token"]
    assert call(served, party, token, "read_led").status_code == 200
    assert call(served, party, token, "blink").status_code == 403
    assert call(served, thief, token, "read_led").status_code == 401
    elsewhere = Party(server)
    token = earned(elsewhere, reference.OTHER_RESOURCE, "led:write")["access_token"]
    assert call(served, elsewhere, token, "blink").status_code == 401


def test_a_bearer_token_of_the_reference_as_is_refused(world: tuple[reference.Server, Served], tmp_path: Path):
    server, served = world
    party = Party(server, client=reference.BEARER_APP, dpop=False)
    token = earned(party, served.resource, "led:read")["access_token"]
    headers = modern_headers("read_led") | {"Authorization": f"Bearer {token}"}
    assert served.post(modern("read_led", {}), headers).status_code == 401
