"""The same AS inside the test's own process, with a clock that the test moves: for whatever takes minutes or weeks.

Not for TLS, signals and crashes: running.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from host_sim.authorization_server import app
from host_sim.authorization_server.services import open_services
from host_sim.authorization_server.settings import load
from tests.authorization_server import running


class Clocked(running.Files):
    """`now_s` is what the AS takes for the time, in epoch seconds; it begins with the time of day, as proofs do."""

    def __init__(self, folder: Path, now_s: int, settings: dict[str, Any]) -> None:
        super().__init__(folder, 9443, settings)
        self.now_s = now_s
        self.services = replace(open_services(load(self.config, {})), now_s=lambda: self.now_s)
        self._app = app.build(self.services)
        self.http = self.client()

    def client(self) -> TestClient:
        """One more client, with cookies of its own."""
        return TestClient(self._app, self.issuer.rstrip("/"), raise_server_exceptions=False, follow_redirects=False)


@contextmanager
def server(folder: Path, now_s: int = 1_800_000_000, **settings: Any) -> Iterator[Clocked]:
    """An AS with these settings of as.toml beside the usual ones."""
    clocked = Clocked(folder, now_s, settings)
    try:
        yield clocked
    finally:
        clocked.http.close()
        clocked.services.storage.close()
