"""Calls as clients make them: raw at 2026-07-28 and 2025-11-25, and the official `mcp` client with DPoP proofs.

Not about which tokens open the door (test_tokens.py).
"""

import asyncio
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.exceptions import ToolError

from host_sim.__main__ import main as host_sim_main
from host_sim.dpop_layer import Admitted
from host_sim.mcp_server import caller_with
from tests.mcp_server.conftest import ACCEPT, Served, modern, modern_headers, write_configuration
from tests.mcp_server.issuer import Issuer
from tests.peers.dpop_auth import proof


def text(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert not result.get("isError"), result
    return result["content"][0]["text"]


def port_of(served: Served) -> int:
    return int(served.resource.split(":")[2].split("/")[0])


def signed(served: Served, token: str = "") -> dict[str, str]:
    token = token or served.token()
    return {"Authorization": f"DPoP {token}", "DPoP": proof(served.key, "POST", served.resource, token=token)}


def test_whoami_says_what_the_token_says(served: Served):
    answer = served.call("whoami", token=served.token(scope="led:read", sub="alice", device_id="lp-7f3k2m")).json()["result"]
    assert answer["resultType"] == "complete"
    told = answer["structuredContent"]
    assert told == json.loads(answer["content"][0]["text"])
    assert (told["device"], told["client"], told["scopes"], told["owner"]) == (
        "lp-7f3k2m",
        "latchpin-device",
        ["led:read"],
        "alice",
    )


def test_blink_answers_a_sentence_and_read_led_remembers_for_each_device_by_itself(served: Served):
    one, other = served.token(device_id="lp-one"), served.token(device_id="lp-other")
    assert text(served.call("blink", {"times": 3}, token=one)) == "The LED of lp-one blinked 3 times."
    assert text(served.call("blink", token=one)) == "The LED of lp-one blinked once."
    assert "4 times" in text(served.call("read_led", token=one))
    assert "never" in text(served.call("read_led", token=other))


@pytest.mark.parametrize("times", [0, -1, 101, "x", None, 1.5, [1]])
def test_a_bad_argument_is_an_error_of_the_tool(served: Served, times: Any):
    assert served.call("blink", {"times": times}).json()["result"]["isError"]


def test_a_tool_wants_its_scope_and_says_which(served: Served):
    for tool, has, wanted in (("blink", "led:read", "led:read led:write"), ("read_led", "led:write", "led:read led:write")):
        answer = served.call(tool, token=served.token(scope=has))
        assert answer.status_code == 403
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("DPoP ") and 'error="insufficient_scope"' in challenge
        assert f'scope="{wanted}"' in challenge and "resource_metadata=" in challenge
    for scope in ("", None, "led:writer", "LED:WRITE", "led:read,led:write"):
        assert served.call("blink", token=served.token(scope=scope)).status_code == 403
    assert text(served.call("read_led", token=served.token(scope="x led:read y")))


def test_a_tool_that_is_named_twice_is_refused(served: Served):
    body = json.dumps(modern("whoami", {})).replace('"name": "whoami"', '"name": "whoami", "\\u006eame": "blink"')
    headers = (
        ACCEPT | modern_headers("blink") | signed(served, served.token(scope="led:read")) | {"Content-Type": "application/json"}
    )
    with served.client() as client:
        answer = client.post(served.resource, content=body, headers=headers)
    assert answer.status_code in (400, 403) or answer.json()["result"]["isError"]


def test_the_bytes_of_a_tiny_client_over_http_1_0(served: Served):
    token = served.token()
    body = json.dumps(modern("whoami", {}), separators=(",", ":")).encode()
    lines = [
        "POST /mcp HTTP/1.0",
        f"Host: {served.resource.split('/')[2]}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Authorization: DPoP {token}",
        f"DPoP: {proof(served.key, 'POST', served.resource, token=token)}",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: whoami",
        f"Content-Length: {len(body)}",
    ]
    port = port_of(served)
    with (
        socket.create_connection(("localhost", port)) as plain,
        served.context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while part := tls.recv(4096):
            answer += part
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0] and b"chunked" not in head.lower()
    assert json.loads(rest)["result"]["structuredContent"]["device"] == "lp-7f3k2m"


def test_the_rules_of_the_protocol_come_from_the_sdk(served: Served):
    def status(change: dict[str, str], body: dict[str, Any] | None = None) -> int:
        return served.post(body or modern("whoami", {}), modern_headers("whoami") | signed(served) | change).status_code

    assert status({}) == 200
    assert status({"Mcp-Name": "blink"}) == 400
    assert status({"MCP-Protocol-Version": "2099-01-01"}) == 400
    assert status({"Mcp-Method": "tools/none"}, modern("whoami", {}) | {"method": "tools/none"}) == 404
    assert served.call("unknown").json()["result"]["isError"]
    assert status({"Host": "evil.example"}) == 421
    assert status({"Origin": "https://evil.example"}) == 403


def test_only_post_to_the_resource_is_served(served: Served):
    token = served.token()
    with served.client() as client:
        for method in ("GET", "DELETE", "PUT"):
            headers = ACCEPT | {"Authorization": f"DPoP {token}"}
            headers["DPoP"] = proof(served.key, method, served.resource, token=token)
            assert client.request(method, served.resource, headers=headers).status_code == 405
            assert client.request(method, served.resource, headers=ACCEPT).status_code == 401
        for path in ("/", "/mcp/", "/mcp/x", "/.well-known/oauth-protected-resource", "/%6dcp/..", "/MCP"):
            answer = client.post(
                served.resource.replace("/mcp", path), json=modern("whoami", {}), headers=ACCEPT | signed(served)
            )
            assert answer.status_code == 404, path


def test_a_body_that_is_too_long_or_no_json_is_refused(served: Served):
    with served.client() as client:
        for body, status in ((b"x" * 70_000, 413), (b"{", 400), (b"", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"null", 400)):
            headers = ACCEPT | modern_headers("whoami") | signed(served) | {"Content-Type": "application/json"}
            assert client.post(served.resource, content=body, headers=headers).status_code == status, body[:10]


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18"])
def test_a_client_of_the_older_protocol_initializes_and_calls(served: Served, version: str):
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
    first = served.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, signed(served))
    assert first.status_code == 200 and first.json()["result"]["protocolVersion"] == version
    assert "mcp-session-id" not in first.headers
    headers = {"MCP-Protocol-Version": version}
    then = served.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers | signed(served))
    assert then.status_code == 202
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "blink", "arguments": {"times": 2}}}
    assert text(served.post(call, headers | signed(served))) == "The LED of lp-7f3k2m blinked twice."
    assert served.post(call, headers | signed(served, served.token(scope="led:read"))).status_code == 403
    assert served.post(call, headers).status_code == 401


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.parametrize("nonces", [False, True])
def test_the_official_client_calls_with_proofs(request: pytest.FixtureRequest, mode: Any, nonces: bool):
    served: Served = request.getfixturevalue("strict" if nonces else "served")

    async def calls() -> tuple[list[str], str, str]:
        auth = served.auth(device_id="lp-official")
        async with (
            httpx2.AsyncClient(auth=auth, verify=served.context, trust_env=False) as http,
            mcp.Client(streamable_http_client(served.resource, http_client=http), mode=mode) as client,
        ):
            names = sorted(tool.name for tool in (await client.list_tools()).tools)
            who = await client.call_tool("whoami", {})
            blinked = await client.call_tool("blink", {"times": 2})
        assert auth.proofs >= 3 and bool(auth.nonce) == nonces
        return names, who.structured_content["device"], blinked.content[0].text  # type: ignore[index, union-attr]

    names, device, sentence = asyncio.run(calls())
    assert names == ["blink", "read_led", "whoami"]
    assert (device, sentence) == ("lp-official", "The LED of lp-official blinked twice.")


def test_the_official_client_without_a_token_is_refused(served: Served):
    seen: list[int] = []

    async def note(answer: httpx2.Response) -> None:
        seen.append(answer.status_code)

    async def call() -> None:
        async with (
            httpx2.AsyncClient(verify=served.context, trust_env=False, event_hooks={"response": [note]}) as http,
            mcp.Client(streamable_http_client(served.resource, http_client=http), mode="2026-07-28") as client,
        ):
            await client.call_tool("whoami", {})

    with pytest.raises(ExceptionGroup):
        asyncio.run(asyncio.wait_for(call(), 20))
    assert seen == [401]


def start(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "host_sim", "mcp", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("pattern", "instead", "said"),
    [
        ('resource = "https', 'resource = "http', "no plaintext"),
        ('issuer = "https', 'issuer = "http', "no plaintext"),
        (r'/mcp"', '"', "must have a path"),
        ('listen = "[^"]*"', 'listen = "localhost"', "an IP address and a port"),
        ("listen = ", "listens = ", "listen: is missing"),
        ("listen = ", "listens = ", "listens: is not a setting; did you mean listen?"),
        ('"server.key"', '"gone.key"', "private_key: names a file that is not there"),
        ('"server.key"', '"server.pem"', "must be a pair"),
        ('ca = "[^"]*"', 'ca = "server.key"', "certificates in PEM"),
        (r"scopes = .*", "scopes = []", "scopes: "),
        (r"scopes = .*", 'scopes = ["a"]\ndpop_nonces = "perhaps"', "true or false"),
        (r"scopes = .*", 'scopes = ["a"]\nscope = "a"', "not a setting"),
        ("resource = ", "resource = = ", "not TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_with_a_line_for_each_mistake(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str], pattern: str, instead: str, said: str
):
    path, _ = write_configuration(tmp_path, issuer)
    path.write_text(re.sub(pattern, lambda _: instead, path.read_text(), count=1))
    assert host_sim_main(["mcp", "--config", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err and told.err.count("\n") == (2 if "listens" in instead else 1)


def test_a_port_that_is_taken_is_named_as_the_reason(served: Served, tmp_path: Path, issuer: Issuer):
    path, _ = write_configuration(tmp_path, issuer)
    listen = f'listen = "127.0.0.1:{port_of(served)}"'
    path.write_text(re.sub('listen = "[^"]*"', listen, path.read_text()))
    ended = start(path)
    assert ended.returncode == 2 and "choose another port" in ended.stderr


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_ends_it_beside_an_open_connection(fresh: Any, number: int):
    with fresh() as served:
        with served.client() as client:
            assert client.post(served.resource, json=modern("whoami", {})).status_code == 401
            served.process.send_signal(number)
            assert served.process.wait(30) == 0
        assert served.log.read_text().count("Traceback") == 0


def test_there_is_no_plaintext_and_no_old_tls(served: Served):
    port = port_of(served)
    with socket.create_connection(("localhost", port), 5) as plain:
        plain.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/" not in plain.recv(100)
    context = ssl.create_default_context(cafile=str(served.issuer.ca))
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("localhost", port), 5) as plain, pytest.raises(OSError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_tool_asks_for_its_scope_even_where_no_gate_did():
    token = AccessToken(token="t", client_id="c", scopes=["led:read"], claims={"device_id": "lp-one"})
    with pytest.raises(ToolError):
        caller_with("led:read")
    before = auth_context_var.set(AuthenticatedUser(token))
    try:
        assert caller_with("led:read") == "lp-one"
        with pytest.raises(ToolError):
            caller_with("led:write")
    finally:
        auth_context_var.reset(before)


def test_the_sdk_lets_nobody_in_whom_the_gate_has_not_seen(served: Served):
    assert asyncio.run(Admitted().verify_token(served.token())) is None
