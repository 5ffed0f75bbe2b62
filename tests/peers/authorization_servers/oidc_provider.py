"""`oidc-provider` (npm), certified, as the authorization server of a world, and a person who enters a device's code at it.

Not ours in any part: its program (oidc_provider.mjs) says what an operator of it has to say. A journey takes it in place of ours:

    from tests.peers.authorization_servers import oidc_provider

    embark(journey, **oidc_provider.options(accessTokenTtl=5))

It checks no token that it has signed (JWTs cannot be introspected there), and gives a refresh token to who asks for the scope
offline_access: `allow_renewal` sets that in the environment of the bridge.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from host_sim.world import SCOPE, World
from tests.authorization_server.browsing import Browser, Forms, Site
from tests.peers.node import needs

HERE = Path(__file__).parent


def options(**options: Any) -> dict[str, Any]:
    """Those of World; or a skip that says what to install. options: as the first lines of oidc_provider.mjs read them."""
    needs("oidc-provider")
    command = [sys.executable, str(HERE / "on_node.py"), str(HERE / "oidc_provider.mjs"), json.dumps(options)]
    return {"authorization_server": command, "mcp_settings": {"introspection": None}}


def allow_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the world begins."""
    monkeypatch.setenv("LATCHPIN_BRIDGE__RESOURCES__0__SCOPES__0", f"{SCOPE} offline_access")


def events(world: World) -> list[dict[str, Any]]:
    """What it told of itself."""
    lines = (world.folder / "as.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


class Visitor(Browser):
    """A person at its pages, without JavaScript: each has one form, and what a script would send a person sends."""

    def __init__(self, world: World) -> None:
        super().__init__(Site(world.issuer, world.folder))

    def let_in(self, url: str, code: str, name: str = "ada") -> None:
        """From what the device shows to its access. url: the one to type the code at, or the one with the code in it."""
        self._compare(url, code)
        assert "Sign-in" in self._submit(abort=None)
        assert "led:write" in self._submit(login=name, password="any"), self.text
        assert "Sign-in Success" in self._submit(), self.text

    def refuse(self, url: str, code: str) -> None:
        self._compare(url, code)
        assert "interrupted" in self._submit(), self.text

    def _compare(self, url: str, code: str) -> None:
        self.page = self._land(self.http.get(url))
        typed = {} if "user_code=" in url else {"user_code": code}
        assert "Confirm Device" in self._submit(**typed) and code in self.text, self.text

    def _submit(self, **fields: str | None) -> str:
        """Fills in the form of this page; a field that is None is not sent. What the next page says."""
        parser = Forms()
        parser.feed(self.page.text)
        (form,) = parser.forms
        sent = {name: text for name, text in (form["fields"] | fields).items() if text is not None}
        self.page = self._land(self.post(form["action"], sent))
        return self.text
