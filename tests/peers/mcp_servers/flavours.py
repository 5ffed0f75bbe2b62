"""The MCP servers of others that a device must get on with: each official SDK, in each era, with its ways to answer.

Not the demo's server. A journey takes one in place of it:

    from tests.peers.mcp_servers.flavours import EVERY, command

    @pytest.mark.parametrize("flavour", EVERY)
    def test_...(embark, flavour):
        embark(journey, mcp_server=command(flavour))

Each checks the AS's DPoP-bound tokens and offers: `whoami`; `recite` {"bytes": n <= 65536}, a text of n bytes; `count` {"to": n},
which tells each number in a notification before it answers; the resources `note://hello` and `note://long` (48 KiB). It writes
to mcp.log in the world's folder. Started again (`world.services["mcp"]`), it has forgotten its sessions.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.peers.node import needs

HERE = Path(__file__).parent
V1, V2, PYTHON = "typescript_1.mjs", "typescript_2.mjs", "python_2.py"
SDKS = {V1: "@modelcontextprotocol/sdk", V2: "@modelcontextprotocol/server"}

# name: the program, and its options. A legacy server knows 2025-11-25 and earlier alone; a modern one knows them as well,
# without sessions, but for the strict one. Where nothing is said of it, the SDK chooses between JSON and SSE.
FLAVOURS: dict[str, tuple[str, dict[str, Any]]] = {
    "ts-legacy-sse": (V1, {"stateful": True, "json": False}),
    "ts-legacy-json": (V1, {"stateful": True, "json": True}),
    "ts-legacy-stateless-sse": (V1, {"stateful": False, "json": False}),
    "ts-legacy-stateless-json": (V1, {"stateful": False, "json": True}),
    "ts-modern": (V2, {"responseMode": "auto"}),
    "ts-modern-sse": (V2, {"responseMode": "sse"}),
    "ts-modern-json": (V2, {"responseMode": "json"}),
    "ts-modern-strict": (V2, {"responseMode": "auto", "legacy": "reject"}),
    "python-legacy-sse": (PYTHON, {"stateful": True, "json": False}),
    "python-legacy-json": (PYTHON, {"stateful": True, "json": True}),
    "python-modern": (PYTHON, {"stateful": False, "json": False}),
    "python-modern-json": (PYTHON, {"stateful": False, "json": True}),
}


def _marked(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.node] if name.startswith("ts") else []) for name in names]


EVERY = _marked(list(FLAVOURS))


def is_legacy(flavour: str) -> bool:
    return "legacy" in flavour


def has_sessions(flavour: str) -> bool:
    return bool(FLAVOURS[flavour][1].get("stateful"))


def knows_no_handshake(flavour: str) -> bool:
    return FLAVOURS[flavour][1].get("legacy") == "reject"


def command(flavour: str) -> list[str]:
    """What starts this flavour, as `World(mcp_server=...)` takes it; or a skip that says what to install."""
    program, options = FLAVOURS[flavour]
    if program in SDKS:
        needs(SDKS[program])
        return [sys.executable, str(HERE / "on_node.py"), str(HERE / program), json.dumps(options)]
    return [sys.executable, str(HERE / program), json.dumps(options)]
