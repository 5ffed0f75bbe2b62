"""The MCP servers of others, proved before a device meets them: the official client and raw requests against each flavour.

Not a device's journey: that takes a flavour in place of the demo's server (mcp_servers/flavours.py).
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mcp.client.streamable_http import streamable_http_client

from host_sim.world import World
from tests.authorization_server import running
from tests.authorization_server.parties import Party
from tests.brokers.running import free_port
from tests.journeys.conftest import embark, pair  # noqa: F401
from tests.mcp_server.conftest import Served, modern, modern_headers, serving
from tests.mcp_server.issuer import Issuer
from tests.peers.dpop_auth import DpopAuth, proof
from tests.peers.mcp_servers.flavours import EVERY, command, has_sessions, is_legacy, knows_no_handshake
from tests.peers.mcp_servers.python_2 import NOTES_LONG, recited

HANDSHAKE = "2025-11-25"
INITIALIZE = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "tiny", "version": "1"}}
MODERN = "2026-07-28"
# A 400 with one of these comes from a server that knows MCP 2026-07-28; any other sends a client back to initialize.
MODERN_ERRORS = {-32020, -32021, -32022}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"))
    yield issuer
    issuer.close()


@pytest.fixture(scope="module", params=EVERY)
def flavour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, flavour: str, issuer: Issuer) -> Iterator[Served]:
    """A running server of the flavour."""
    with serving(tmp_path_factory.mktemp(flavour), issuer, program=command(flavour)) as served:
        yield served


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_lists_calls_and_reads(started: Served, flavour: str, mode: Any):
    told: list[float] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async def calls() -> str:
        async with (
            httpx2.AsyncClient(auth=started.auth(device_id="lp-peer"), verify=started.context, trust_env=False) as http,
            mcp.Client(streamable_http_client(started.resource, http_client=http), mode=mode) as client,
        ):
            assert {"whoami", "recite", "count"} <= {tool.name for tool in (await client.list_tools()).tools}
            who = json.loads(text_of(await client.call_tool("whoami", {})))
            assert (who["device"], who["scopes"]) == ("lp-peer", ["led:read", "led:write"])
            for length in (0, 100, 65536):
                assert text_of(await client.call_tool("recite", {"bytes": length})) == recited(length)
            counted = await client.call_tool("count", {"to": 3}, progress_callback=tell)
            assert text_of(counted) == "counted to 3"
            for name, said in (("hello", "Hello from the shelf."), ("long", recited(NOTES_LONG))):
                (content,) = (await client.read_resource(f"note://{name}")).contents
                assert content.text == said  # type: ignore[union-attr]
            return client.protocol_version

    if mode == "legacy" and knows_no_handshake(flavour):
        with pytest.raises(ExceptionGroup):
            asyncio.run(calls())
        return
    assert asyncio.run(calls()) == (HANDSHAKE if mode == "legacy" or is_legacy(flavour) else MODERN)
    silent = flavour.endswith("json") and not (flavour == "ts-modern-json" and mode == "legacy")
    assert told == ([] if silent else [1, 2, 3])


def text_of(answer: Any) -> str:
    assert not answer.is_error, answer
    return answer.content[0].text


def asked(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 2, "method": method, "params": params or {}}


WHO = asked("tools/call", {"name": "whoami", "arguments": {}})


def post(served: Served, body: Any, headers: dict[str, str]) -> httpx2.Response:
    token = served.token(device_id="lp-peer")
    shown = {"Authorization": f"DPoP {token}", "DPoP": proof(served.key, "POST", served.resource, token=token)}
    return served.post(body, shown | headers)


def message(answer: httpx2.Response) -> dict[str, Any]:
    """The one message of an answer in JSON or in SSE."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        (data,) = [line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith("data:")]
        return json.loads(data)
    return answer.json()


def test_one_answer_tells_the_era(started: Served, flavour: str):
    answer = post(started, modern("whoami", {}), modern_headers("whoami"))
    if is_legacy(flavour):
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] not in MODERN_ERRORS
    else:
        assert answer.status_code == 200 and message(answer)["result"]["resultType"] == "complete"


def test_the_handshake_and_what_a_session_is_worth(started: Served, flavour: str):
    first = post(started, asked("initialize", INITIALIZE), {})
    if knows_no_handshake(flavour):
        assert first.status_code == 400 and first.json()["error"]["code"] == -32022
        return
    assert first.status_code == 200 and message(first)["result"]["protocolVersion"] == HANDSHAKE
    session = first.headers.get("mcp-session-id")
    assert bool(session) == has_sessions(flavour)
    headers = {"MCP-Protocol-Version": HANDSHAKE} | ({"Mcp-Session-Id": session} if session else {})
    noted = post(started, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    assert noted.status_code == 202 and noted.text == ""
    assert "lp-peer" in message(post(started, WHO, headers))["result"]["content"][0]["text"]

    assert post(started, WHO, {}).status_code == (400 if session else 200)
    if session:
        assert post(started, WHO, headers | {"Mcp-Session-Id": "0" * 32}).status_code == 404
        with started.client(started.auth(device_id="lp-peer")) as client:
            listening = headers | {"Accept": "text/event-stream"}
            with client.stream("GET", started.resource, headers=listening) as stream:
                assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")
            assert client.delete(started.resource, headers=headers).status_code == 200
        assert post(started, WHO, headers).status_code == 404


@pytest.mark.node
@pytest.mark.parametrize("flavour", ["ts-modern"], indirect=True, scope="module")
def test_the_door_on_node_takes_only_a_bound_token_with_its_proof(started: Served):
    other = ec.generate_private_key(ec.SECP256R1())
    good = started.token()

    def status(token: str = good, key: Any = started.key, **headers: str) -> int:
        shown = {"Authorization": f"DPoP {token}", "DPoP": proof(key, "POST", started.resource, token=token)}
        return started.post(modern("whoami", {}), modern_headers("whoami") | shown | headers).status_code

    assert status() == 200
    assert status(Authorization=f"Bearer {good}") == 401
    assert status(key=other) == 401
    assert status(DPoP=proof(started.key, "POST", started.resource, token="another")) == 401
    for wrong in ({"htm": "GET"}, {"htu": started.resource + "/x"}, {"iat": 1}, {"jti": None}):
        assert status(DPoP=proof(started.key, "POST", started.resource, token=good, **wrong)) == 401
    once = proof(started.key, "POST", started.resource, token=good)
    assert [status(DPoP=once) for _ in range(2)] == [200, 401]
    for wrong in ({"aud": "https://localhost/other"}, {"exp": 1}, {"iss": "https://localhost"}, {"cnf": None}, {"signer": other}):
        assert status(started.token(**wrong)) == 401
    nobody = started.post(modern("whoami", {}), modern_headers("whoami"))
    challenge = nobody.headers["WWW-Authenticate"]
    assert nobody.status_code == 401 and challenge.startswith('DPoP algs="ES256"') and "error=" not in challenge
    with started.client() as client:
        metadata = client.get(challenge.partition('resource_metadata="')[2].rstrip('"')).json()
    assert (metadata["resource"], metadata["authorization_servers"]) == (started.resource, [started.issuer.url])


@contextmanager
def beside_the_reference_as(folder: Path, flavour: str, own: Issuer) -> Iterator[tuple[running.Server, Served]]:
    port = free_port()
    resource = f"https://localhost:{port}/mcp"
    with running.server(folder / "as", resources=[{"uri": resource, "scopes": ["led:read", "led:write"]}]) as server:
        around = {"ISSUER": server.issuer, "CA": str(server.ca), "LISTEN": f"127.0.0.1:{port}", "RESOURCE": resource}
        environment = {f"LATCHPIN_MCP__{name}": value for name, value in around.items()}
        with serving(folder, own, environment=environment, program=command(flavour)) as served:
            yield server, served


@pytest.mark.parametrize("flavour", [pytest.param("ts-legacy-sse", marks=pytest.mark.node), "python-legacy-sse"])
def test_a_token_of_the_reference_as_opens(tmp_path: Path, issuer: Issuer, flavour: str):
    async def who(server: running.Server, served: Served) -> str:
        party = Party(server)
        token = party.redeem(party.earn_code(resource=served.resource)).json()["access_token"]
        context = ssl.create_default_context(cafile=str(issuer.ca))
        async with (
            httpx2.AsyncClient(auth=DpopAuth(party.key._key, token), verify=context, trust_env=False) as http,
            mcp.Client(streamable_http_client(served.resource, http_client=http), mode="legacy") as client,
        ):
            assert party.device in text_of(await client.call_tool("whoami", {}))
            return party.device

    with beside_the_reference_as(tmp_path, flavour, issuer) as (server, served):
        assert asyncio.run(who(server, served))


@pytest.mark.node
def test_a_world_stands_with_a_server_of_others(embark) -> None:  # noqa: F811
    async def journey(world: World) -> None:
        await pair(world)
        assert world.device_id in await world.device.wait_for("Answer")

    embark(journey, runtime="cpython", mcp_server=command("ts-modern-json"))
