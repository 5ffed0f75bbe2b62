"""The official MCP client calls the MCP server with a token that the device earned with a PIN, over MQTT.

Not the device's own call: journeys/ has that. The client takes the device's DPoP key along: without it the token is worth
nothing.
"""

import ssl

import httpx2
import mcp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mcp.client.streamable_http import streamable_http_client

from host_sim.world import World
from tests.journeys.conftest import embark  # noqa: F401
from tests.journeys.spied_device import spied_device
from tests.peers.dpop_auth import DpopAuth


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
def test_the_official_client_calls_a_tool_with_the_devices_token(embark, monkeypatch, mode: str) -> None:  # noqa: F811
    async def journey(world: World) -> None:
        async with spied_device(world, monkeypatch) as device:
            await device.wait_for("waiting")
            device.type((await world.issue_pin())["pin"] + "#")
            await device.wait_for("answer")
            (token,) = device.secrets["access_token"]
            key = ec.derive_private_key(int.from_bytes(device.dpop_private, "big"), ec.SECP256R1())
            context = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
            async with (
                httpx2.AsyncClient(auth=DpopAuth(key, token), verify=context, trust_env=False) as http,
                mcp.Client(streamable_http_client(world.resource, http_client=http), mode=mode) as client,
            ):
                assert {"whoami", "blink"} <= {tool.name for tool in (await client.list_tools()).tools}
                answer = await client.call_tool("whoami", {})
                assert not answer.is_error and world.device_id in str(answer.content)
            other = ec.generate_private_key(ec.SECP256R1())
            async with httpx2.AsyncClient(auth=DpopAuth(other, token), verify=context, trust_env=False) as http:
                stolen = await http.post(world.resource, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
                assert stolen.status_code == 401

    embark(journey, runtime="cpython")
