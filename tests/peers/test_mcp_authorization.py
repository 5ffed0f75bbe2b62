"""The official MCP client fetches its own token: at the challenge endpoint with a PIN, and, as it is, through /authorize.

Not a device's token: test_mcp_client.py. Discovery, PKCE, storage, token request and calls are the SDK's own.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import mcp
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.oauth2 import PKCEParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.authorization_server import running
from tests.authorization_server.web import CLIENTS, NATIVE, came_back, decide, person
from tests.brokers.running import free_port
from tests.mcp_server.conftest import Served, serving
from tests.mcp_server.issuer import Issuer
from tests.requirements import proves

BACK = "http://127.0.0.1:3030/back"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The AS, and an MCP server that takes bearer tokens, for the SDK has no DPoP."""
    port = free_port()
    resource = f"https://localhost:{port}/mcp"
    clients = [client for client in CLIENTS if client["id"] in (running.BEARER_APP, NATIVE)]
    own = Issuer(tmp_path_factory.mktemp("own"))
    settings = {"clients": clients, "resources": [{"uri": resource, "scopes": ["led:read", "led:write"]}]}
    with running.server(tmp_path_factory.mktemp("as"), **settings) as server:
        around = {"ISSUER": server.issuer, "CA": str(server.ca), "LISTEN": f"127.0.0.1:{port}", "RESOURCE": resource}
        environment = {f"LATCHPIN_MCP__{name}": value for name, value in around.items()}
        with serving(tmp_path_factory.mktemp("mcp"), own, "allow_bearer = true", environment=environment) as served:
            yield server, served
    own.close()


class Kept:
    """The SDK's storage, in memory; the client is known beforehand, so nobody registers."""

    def __init__(self, client_id: str) -> None:
        self.tokens: OAuthToken | None = None
        self.client = OAuthClientInformationFull(client_id=client_id, redirect_uris=[BACK], token_endpoint_auth_method="none")

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("dynamic registration is off")


class ByChallenge(OAuthClientProvider):
    """The SDK's provider with another way to a code: the person says a PIN instead of opening a browser."""

    http: httpx2.AsyncClient
    ask: Callable[[str], str]

    async def _perform_authorization_code_grant(self) -> tuple[str, str]:
        assert self.context.client_info and self.context.oauth_metadata
        issuer = str(self.context.oauth_metadata.issuer).rstrip("/")
        # The SDK's metadata drop members that it does not know.
        metadata = (await self.http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
        endpoint, pkce = metadata["authorization_challenge_endpoint"], PKCEParameters.generate()
        client_id = self.context.client_info.client_id
        first = {
            "response_type": "code",
            "client_id": client_id,
            "scope": self.context.client_metadata.scope or "",
            "resource": self.context.get_resource_url(),
            "code_challenge": pkce.code_challenge,
            "code_challenge_method": "S256",
        }
        asked = await self.http.post(endpoint, data=first)
        assert asked.status_code == 403, asked.text
        prompt = asked.json()
        pin = await asyncio.to_thread(self.ask, prompt["binding_word"])
        answer = await self.http.post(
            endpoint, data={"client_id": client_id, "auth_session": prompt["auth_session"], prompt["inputs"][0]["name"]: pin}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["authorization_code"], pkce.code_verifier

    async def _exchange_token_authorization_code(self, auth_code: str, code_verifier: str) -> httpx2.Request:
        usual = await super()._exchange_token_authorization_code(auth_code, code_verifier)
        fields = {
            name: value for name, value in parse_qsl(usual.content.decode()) if name != "redirect_uri"
        }  # FiPA-04, section 6
        return httpx2.Request("POST", usual.url, data=fields)


def both(server: running.Server, served: Served) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca))
    context.load_verify_locations(cafile=str(served.issuer.ca))
    return context


def described() -> OAuthClientMetadata:
    return OAuthClientMetadata(client_name="a peer", redirect_uris=[BACK], token_endpoint_auth_method="none")


async def use(provider: OAuthClientProvider, server: running.Server, served: Served) -> str:
    """What `whoami` says to the official client."""
    async with (
        httpx2.AsyncClient(auth=provider, verify=both(server, served), trust_env=False, timeout=60) as http,
        mcp.Client(streamable_http_client(served.resource, http_client=http)) as client,
    ):
        answer = await client.call_tool("whoami", {})
        assert not answer.is_error
        return str(answer.content)


@proves("FIPA-6-a", "FIPA-4.1-c")
def test_it_earns_a_token_with_a_pin_and_calls_a_tool(world):
    server, served = world
    kept = Kept(running.BEARER_APP)

    def ask(binding_word: str) -> str:
        issued = server.admin("pin", device=running.BEARER_APP)
        assert issued["binding_word"] == binding_word
        return issued["pin"]

    async def journey() -> str:
        provider = ByChallenge(served.resource, described(), kept)
        async with httpx2.AsyncClient(verify=both(server, served), trust_env=False) as provider.http:
            provider.ask = ask
            return await use(provider, server, served)

    assert running.BEARER_APP in asyncio.run(journey())
    assert kept.tokens and kept.tokens.scope == "led:read led:write" and kept.tokens.refresh_token


@proves("RFC9207-2-a", "RFC8252-7.3-a")
def test_as_it_is_it_goes_through_the_browser_of_somebody_who_allows_it(world):
    server, served = world
    browser, heard = person(server), dict[str, str]()

    async def redirect(url: str) -> None:
        def visit() -> None:
            browser.get(url.removeprefix(server.issuer))
            heard.update(came_back(decide(browser)))

        await asyncio.to_thread(visit)

    async def callback() -> AuthorizationCodeResult:
        fields: dict[str, Any] = {"code": heard["code"], "state": heard["state"], "iss": heard["iss"]}
        return AuthorizationCodeResult(**fields)

    provider = OAuthClientProvider(served.resource, described(), Kept(NATIVE), redirect, callback)
    assert NATIVE in asyncio.run(use(provider, server, served))
