"""An AS without its HTTP: the endpoint asked directly, in this process, at a time that the test sets.

Not a mock: endpoint, challenges, keys and database are the real ones. `open_direct(folder) as direct: ...`
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from host_sim.authorization_server import admin
from host_sim.authorization_server.challenge_endpoint import ChallengeEndpoint
from host_sim.authorization_server.forms import Posted
from host_sim.authorization_server.services import Services, open_services
from host_sim.authorization_server.settings import Settings
from host_sim.authorization_server.storage import Transaction
from tests.authorization_server import running
from tests.authorization_server.parties import basic, verifier_and_challenge

PASSWORD = "correct horse battery staple"
START = 1_700_000_000
ADA = {"name": "Ada Lovelace", "birth_date": "18151210", "last_four": "1843"}


class Direct:
    """`clock_s` is what the AS takes for now."""

    def __init__(self, services: Services) -> None:
        self.clock_s = START
        self.services = replace(services, now_s=lambda: self.clock_s)
        self.endpoint = ChallengeEndpoint(self.services)

    def account(self, name: str, /, **answers: str) -> str:
        """A new account; what it is asked for is recorded where it is given. Its id."""
        account = self.services.accounts.create(name, PASSWORD).id
        if answers:
            admin.enrol_knowledge(self.services, name, answers)
        return account

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self.services.storage.transaction() as transaction:
            yield transaction


class Asker:
    """One client, of bearer tokens, at the challenge endpoint: the bridge for a device, or a public app."""

    def __init__(self, direct: Direct, device: str = "lp-1", client: str = running.BRIDGE) -> None:
        self.direct, self.device, self.client = direct, device, client
        self.auth_session = ""
        self.said: dict[str, Any] = {}
        self.status = 0
        self.size = 0

    def start(self, **changes: str) -> dict[str, Any]:
        fields = {
            "response_type": "code",
            "client_id": self.client,
            "scope": "led:read",
            "resource": running.RESOURCE,
            "code_challenge": verifier_and_challenge()[1],
            "code_challenge_method": "S256",
            "device_id": self.device,
        }
        return self._post({**fields, **changes})

    def follow(self, auth_session: str | None = None, **answers: str) -> dict[str, Any]:
        return self._post({"auth_session": auth_session or self.auth_session, "client_id": self.client, **answers})

    def _post(self, fields: dict[str, str]) -> dict[str, Any]:
        authorization = basic(self.client, running.BRIDGE_SECRET) if self.client == running.BRIDGE else None
        response = self.direct.endpoint.answer(Posted({name: text for name, text in fields.items() if text}, authorization))
        self.status, self.size = response.status_code, len(response.body)
        self.said = json.loads(response.body)
        self.auth_session = self.said.get("auth_session", self.auth_session)
        return self.said

    @property
    def asked(self) -> list[str]:
        return [item["name"] for item in self.said["inputs"]]


@contextmanager
def open_direct(folder: Path, **settings: Any) -> Iterator[Direct]:
    """An AS whose clients need no DPoP, with these settings of as.toml beside the usual ones."""
    for name in ("as.pem", "as.key"):
        (folder / name).touch()
    table = {
        "listen": "127.0.0.1:9443",
        "issuer": "https://localhost:9443",
        "certificate": folder / "as.pem",
        "private_key": folder / "as.key",
        "state": folder / f"state-{secrets.token_hex(4)}",
        "clients": [
            {"id": running.BRIDGE, "secret": running.BRIDGE_SECRET, "dpop_bound_access_tokens": False},
            {"id": running.BEARER_APP, "dpop_bound_access_tokens": False},
        ],
        "resources": [{"uri": running.RESOURCE, "scopes": ["led:read", "led:write"]}],
    }
    services = open_services(Settings.model_validate(table | settings))
    services.storage._connection.execute("PRAGMA synchronous = OFF")  # what a power cut leaves is not asked here
    try:
        yield Direct(services)
    finally:
        services.storage.close()
