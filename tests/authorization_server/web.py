"""A client that goes by way of a browser: its requests, and what comes back to its redirect_uri.

Not the person at the browser: browsing.py.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from host_sim.authorization_server.accounts import Accounts
from tests.authorization_server import browsing, running
from tests.authorization_server.browsing import Browser
from tests.authorization_server.parties import verifier_and_challenge

WEB = "web-app"  # confidential, bearer tokens too
NATIVE = "native-app"  # public, on loopback
SERVER = "mcp-server"  # the resource server of running.RESOURCE
SECRET = "a long secret of the web app, 0123456789"
BACK = "https://app.example/back?from=latchpin"
CLIENTS: list[dict[str, Any]] = [
    {"id": running.BRIDGE, "secret_file": "bridge.secret"},
    {"id": running.APP},
    {"id": running.BEARER_APP, "dpop_bound_access_tokens": False},
    {"id": running.OUTSIDER, "first_party": False, "redirect_uris": [BACK]},
    {"id": WEB, "name": "The Web App", "secret": SECRET, "dpop_bound_access_tokens": False, "redirect_uris": [BACK]},
    {"id": NATIVE, "dpop_bound_access_tokens": False, "redirect_uris": ["http://127.0.0.1/back", "com.example.app:/back"]},
    {"id": SERVER, "secret": SECRET, "resource": running.RESOURCE},
]


def query(client: str = WEB, **changes: str | None) -> tuple[dict[str, str], str]:
    """(the parameters of a whole authorization request, its verifier)"""
    verifier, challenge = verifier_and_challenge()
    fields: dict[str, str | None] = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": BACK if client in (WEB, running.OUTSIDER) else "http://127.0.0.1:5123/back",
        "scope": "led:read",
        "resource": running.RESOURCE,
        "state": "s t&te=1",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}, verifier


def authorize(browser: Browser, fields: dict[str, str], **more: str) -> Any:
    """Where the browser ends up: a page of the AS, or the redirect away from it."""
    response = browser.http.get("/authorize?" + urlencode(fields | more))
    while response.status_code == 303 and response.headers["location"].startswith(browser.server.issuer):
        response = browser.http.get(response.headers["location"])
    browser.page = response
    return response


def decide(browser: Browser, decision: str = "allow") -> Any:
    """The answer to the consent page."""
    form = browser.form("/authorize")
    return browser.post("/authorize", form | {"decision": decision})


def came_back(response: Any) -> dict[str, str]:
    """What the client hears at its redirect_uri."""
    assert response.status_code == 303, response.text
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


def person(server: Any, name: str = "ada") -> Browser:
    """A browser in which `name`, a new account, is signed in."""
    if hasattr(server, "services"):
        Accounts(server.services.storage, server.services.now_s).create(name, browsing.PASSWORD)
    else:
        browsing.account(server, name)
    return Browser(server).sign_in(name)
