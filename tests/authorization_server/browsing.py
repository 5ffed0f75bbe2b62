"""A person at a browser without JavaScript: cookies, forms with their hidden fields, and what a page says.

Not Chromium: test_console_in_chromium.py drives that.
"""

import re
import ssl
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Protocol

import httpx2

from host_sim.authorization_server import admin
from host_sim.authorization_server.services import open_services
from host_sim.authorization_server.settings import load
from tests.authorization_server import running

PASSWORD = "correct horse battery staple"


class Server(Protocol):
    """What a browser has to know of an AS."""

    issuer: str

    def client(self) -> httpx2.Client: ...


class Site:
    """The AS of a world in `folder`, ours or another, as one of running.Files is to a browser and to `account`."""

    def __init__(self, issuer: str, folder: Path) -> None:
        self.issuer, self.config = issuer, folder / "as.toml"
        self._context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def client(self) -> httpx2.Client:
        return httpx2.Client(verify=self._context, base_url=self.issuer, timeout=30, trust_env=False)


def account(server: running.Files | Site, name: str, password: str = PASSWORD, knows: dict[str, str] | None = None) -> str:
    """A new account at this server, with what it answers to the challenge `knowledge`; its name."""
    services = open_services(load(server.config, {}))
    try:
        created = services.accounts.create(name, password).name
        if knows:
            admin.enrol_knowledge(services, name, knows)
        return created
    finally:
        services.storage.close()


class Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "form":
            self.forms.append({"action": found.get("action"), "fields": {}})
        elif tag in ("input", "button") and self.forms and found.get("name"):
            self.forms[-1]["fields"].setdefault(found["name"], found.get("value") or "")


class Browser:
    """One browser at one AS: `get`, `send` a form of the page that was got last, `sign_in`. Redirects are followed by hand."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = server.client()
        self.page: httpx2.Response

    def get(self, path: str) -> httpx2.Response:
        self.page = self._land(self.http.get(path))
        return self.page

    def form(self, action: str) -> dict[str, str]:
        """The fields of the form of this page that goes to `action`."""
        parser = Forms()
        parser.feed(self.page.text)
        (found,) = [form for form in parser.forms if form["action"] == action]
        return found["fields"]

    def send(self, action: str, **fields: str) -> httpx2.Response:
        """Fills in a form of this page and sends it; where it leads to."""
        self.page = self._land(self.post(action, self.form(action) | fields))
        return self.page

    def post(self, action: str, fields: dict[str, str], **headers: str) -> httpx2.Response:
        """The bare answer to a POST."""
        return self.http.post(action, data=fields, headers={"Origin": self.server.issuer} | headers)

    def sign_in(self, name: str, password: str = PASSWORD) -> "Browser":
        self.get("/sign-in")
        self.send("/sign-in", name=name, password=password)
        assert self.page.status_code == 200, self.page.text
        return self

    @property
    def text(self) -> str:
        """What the page says, without tags, with single spaces."""
        return " ".join(re.sub(r"<[^>]*>", " ", self.page.text).split())

    def _land(self, response: httpx2.Response) -> httpx2.Response:
        for _ in range(5):
            if response.status_code != 303:
                return response
            response = self.http.get(response.headers["location"])
        raise AssertionError("redirected too often")


def card(browser: Browser, device: str) -> str | None:
    """The session of the waiting card of this device, or None where the list has none."""
    browser.get("/")
    (found, *_) = [text for text in browser.page.text.split("<article") if device in text.partition("</article>")[0]] or [""]
    session = re.search(r"/waiting/([0-9a-f]+)/refuse", found)
    return session[1] if session else None


def issue_pin(browser: Browser, device: str) -> str:
    """A PIN for this waiting device by the button of its card."""
    page = browser.send(f"/waiting/{card(browser, device)}/pin")
    assert page.status_code == 200
    return re.search(r'class="unseen">([0-9 ]{17})<', page.text)[1].replace(" ", "")  # type: ignore[index]
