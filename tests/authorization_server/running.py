"""A real AS in a process of its own, over HTTPS with a CA of its own, for any test that needs one.

Not a test, and not for tests about time: clocked.py has a clock.
`with running.server(folder) as server: ...`; parties.py beside it has those who speak to it.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import tomli_w
import trustme

from host_sim.world import free_ports

BRIDGE = "latchpin-device"  # confidential: it asserts devices
APP = "peer-app"  # public, DPoP demanded
BEARER_APP = "peer-bearer"  # public, bearer tokens too
OUTSIDER = "somebody-else"  # on the list, but not first-party
BRIDGE_SECRET = "a secret: with %25 + ünïcode signs"
RESOURCE = "https://localhost:9444/mcp"
OTHER_RESOURCE = "https://localhost:9445/mcp"
ROOT = Path(__file__).parents[2]


@cache
def _certificate_authority() -> trustme.CA:
    return trustme.CA()


class Files:
    """What an AS is given: `issuer`, `ca` (PEM file), `config` (as.toml), `state` (its directory)."""

    def __init__(self, folder: Path, port: int, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.config = folder / "as.toml"
        self.state = folder / "as-state"
        self.issuer: str = settings.get("issuer", f"https://localhost:{port}")
        authority = _certificate_authority()
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(self.ca)
        leaf.private_key_pem.write_to_path(folder / "as.key")
        (folder / "as.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        (folder / "bridge.secret").write_text(BRIDGE_SECRET + "\n", encoding="utf-8")
        table = {
            "listen": f"127.0.0.1:{port}",
            "issuer": self.issuer,
            "certificate": "as.pem",
            "private_key": "as.key",
            "state": "as-state",
            "log_level": "debug",
            "clients": [
                {"id": BRIDGE, "secret_file": "bridge.secret"},
                {"id": APP},
                {"id": BEARER_APP, "dpop_bound_access_tokens": False},
                {"id": OUTSIDER, "first_party": False},
            ],
            "resources": [
                {"uri": RESOURCE, "scopes": ["led:read", "led:write"]},
                {"uri": OTHER_RESOURCE, "scopes": ["door:open"]},
            ],
        }
        self.config.write_bytes(tomli_w.dumps(table | settings).encode())

    http: Any
    client: Any

    @property
    def admin_token(self) -> str:
        return (self.state / "admin_token").read_text()

    def admin(self, name: str, **body: Any) -> Any:
        """The JSON answer of an admin call: `admin("pin", device=...)`, `admin("waiting")`."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        if body:
            return self.http.post(f"/admin/{name}", json=body, headers=headers).json()
        return self.http.get(f"/admin/{name}", headers=headers).json()

    def issue_pin(self, device: str) -> str:
        return self.admin("pin", device=device)["pin"]


class Server(Files):
    """One AS as a process; `http` is a verifying client of it."""

    def __init__(self, folder: Path, port: int, settings: dict[str, Any]) -> None:
        super().__init__(folder, port, settings)
        self._log: list[str] = []
        self._start()

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LATCHPIN_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "host_sim", "as", "serve", "--config", str(self.config)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout and self.process.stderr
        errors = self.process.stderr
        self._reader = threading.Thread(target=lambda: self._log.extend(errors), daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self._reader.join(5)
            raise AssertionError("the AS did not start:\n" + "".join(self._log))
        self.http_context = ssl.create_default_context(cafile=str(self.ca))
        self.http = self.client()

    def client(self) -> httpx2.Client:
        """One more verifying client, with cookies of its own."""
        return httpx2.Client(verify=self.http_context, base_url=self.issuer.rstrip("/"), timeout=30, trust_env=False)

    @property
    def log(self) -> str:
        """What it wrote to stderr so far; complete once it has ended."""
        return "".join(self._log)

    def run(self, *words: str, config: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """`latchpin as WORDS --config ...` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "host_sim", "as", *words, "--config", str(config or self.config)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired: it took longer than 5 s."""
        self.http.close()
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(5)
        return code

    def kill_and_restart(self) -> None:
        """kill -9, and a new process on the same state."""
        self.stop(signal.SIGKILL)
        self._start()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log]
        return [line for line in lines if line["event"] == name]


@contextmanager
def server(folder: Path, **settings: Any) -> Iterator[Server]:
    """An AS with these settings of as.toml beside the usual ones; stopped at the end."""
    (port,) = free_ports(1)
    if "issuer" in settings:
        settings["issuer"] = settings["issuer"].replace("PORT", str(port))
    running = Server(folder, port, settings)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
