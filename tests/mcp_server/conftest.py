"""The demo MCP server as a process, an issuer that it believes, and a device with a key.

Not a test.
"""

import contextlib
import dataclasses
import os
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from host_sim.world import LATCHPIN_MCP
from tests.brokers.running import first_line, free_port
from tests.mcp_server.issuer import Issuer
from tests.peers.dpop_auth import DpopAuth, proof


@dataclasses.dataclass
class Served:
    """A running MCP server, and who issues its tokens."""

    resource: str
    issuer: Issuer
    process: subprocess.Popen[str]
    log: Path
    key: ec.EllipticCurvePrivateKey

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.issuer.ca))

    def client(self, auth: httpx2.Auth | None = None) -> httpx2.Client:
        return httpx2.Client(verify=self.context, trust_env=False, auth=auth, timeout=30)

    def token(self, **other: Any) -> str:
        return self.issuer.token(self.key, self.resource, **other)

    def auth(self, **other: Any) -> DpopAuth:
        return DpopAuth(self.key, self.token(**other))

    def post(self, body: Any, headers: dict[str, str]) -> httpx2.Response:
        with self.client() as client:
            return client.post(self.resource, json=body, headers=ACCEPT | headers)

    def call(self, tool: str, arguments: dict[str, Any] | None = None, *, token: str = "", **headers: str) -> httpx2.Response:
        """One tools/call at 2026-07-28 (MCP.md, section 4.5) with a proof; `headers` replace what it would send."""
        token = token or self.token()
        sent = {"Authorization": f"DPoP {token}", "DPoP": proof(self.key, "POST", self.resource, token=token)}
        return self.post(modern(tool, arguments or {}), modern_headers(tool) | sent | headers)


ACCEPT = {"Accept": "application/json, text/event-stream"}


def modern(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def modern_headers(tool: str) -> dict[str, str]:
    return {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}


def write_configuration(folder: Path, issuer: Issuer, more: str = "", believe: Path | None = None) -> tuple[Path, str]:
    """(mcp.toml, resource)."""
    leaf = issuer.authority.issue_cert("localhost", "127.0.0.1")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    (folder / "server.pem").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
    port = free_port()
    resource = f"https://localhost:{port}/mcp"
    (folder / "mcp.toml").write_text(
        f'listen = "127.0.0.1:{port}"\nresource = "{resource}"\ncertificate = "server.pem"\nprivate_key = "server.key"\n'
        f'issuer = "{issuer.url}"\nca = "{believe or issuer.ca}"\nscopes = ["led:read", "led:write"]\n{more}\n'
    )
    return folder / "mcp.toml", resource


@contextlib.contextmanager
def serving(
    folder: Path,
    issuer: Issuer,
    more: str = "",
    believe: Path | None = None,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = LATCHPIN_MCP,
) -> Iterator[Served]:
    path, resource = write_configuration(folder, issuer, more, believe)
    resource = (environment or {}).get("LATCHPIN_MCP__RESOURCE", resource)
    command, log = [*program, "--config", str(path)], folder / "mcp.log"
    around = os.environ | (environment or {})
    with (
        log.open("w") as lines,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=lines, text=True, env=around) as process,
    ):
        try:
            ready = first_line(process, 30)
            assert ready == f"ready {resource}", log.read_text()
            yield Served(resource, issuer, process, log, ec.generate_private_key(ec.SECP256R1()))
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"))
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("mcp"), issuer) as served:
        yield served
        assert served.process.poll() is None
        assert "Traceback" not in served.log.read_text()


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Served]:
    """A server that wants a nonce of its own in each proof."""
    with serving(tmp_path_factory.mktemp("strict"), issuer, "dpop_nonces = true") as served:
        yield served


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Issuer]:
    """An issuer for one test, which may break it."""
    issuer = Issuer(tmp_path)
    yield issuer
    issuer.close()


@pytest.fixture
def fresh(tmp_path: Path, own: Issuer) -> Callable[..., contextlib.AbstractContextManager[Served]]:
    """A server that believes `own`."""
    return lambda more="": serving(tmp_path, own, more)
