"""`@openid4vc/oauth2` (npm), a FiPA client that others wrote, earns tokens from the reference AS over HTTPS.

Not our client in disguise: openid4vc_client.mjs calls the library and nothing of ours.
"""

import base64
import hashlib
import json
import os
import subprocess
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.authorization_server import running
from tests.authorization_server.browsing import account
from tests.authorization_server.parties import wrong_pin
from tests.authorization_server.web import CLIENTS, NATIVE, came_back, decide, person
from tests.peers.node import HERE, needs
from tests.requirements import proves

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> str:
    return needs("@openid4vc/oauth2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    policy = [{"device": "*/telephone", "challenges": ["knowledge"]}, {"challenges": ["pin"]}]
    with running.server(tmp_path_factory.mktemp("as"), policy=policy) as started:
        yield started


class App:
    """The foreign client as a process: `tell` and `hear` one JSON line."""

    def __init__(self, node: str, server: running.Server, **plan: Any) -> None:
        self.process = subprocess.Popen(
            [node, str(HERE / "openid4vc_client.mjs")],
            env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(server.ca)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.tell({"issuer": server.issuer, "scope": "led:read led:write", "resource": running.RESOURCE} | plan)

    def tell(self, step: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(step) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def end(self) -> int:
        self.process.communicate(timeout=30)
        return self.process.returncode


def thumbprint(jwk: dict[str, str]) -> str:
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize(("client", "dpop"), [(running.APP, True), (running.BEARER_APP, False)])
def test_it_completes_challenge_token_and_refresh(node, server, client, dpop):
    app = App(node, server, client_id=client, dpop=dpop, device="lp-peer")
    first = app.hear()
    assert (first["asked"], first["tries_left"]) == (["pin"], 5)
    issued = server.admin("pin", device=f"{client}/lp-peer")
    assert issued["binding_word"] == first["binding_word"]
    app.tell({"pin": wrong_pin(issued["pin"])})
    assert app.hear()["tries_left"] == 4
    app.tell({"pin": issued["pin"]})
    done = app.hear()
    assert app.end() == 0

    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(server.http.get("/jwks.json").json()).keys}
    for tokens in (done["granted"], done["refreshed"]):
        token = tokens["access_token"]
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=running.RESOURCE, issuer=server.issuer)
        assert tokens["token_type"] == ("DPoP" if dpop else "Bearer")
        assert claims.get("cnf") == ({"jkt": thumbprint(done["public_jwk"])} if dpop else None)
        assert claims["scope"] == "led:read led:write"
    assert done["granted"]["refresh_token"] != done["refreshed"]["refresh_token"]
    assert done["statuses"].count(403) == 2


def telephone(caller: dict[str, str], asked: list[dict[str, Any]]) -> dict[str, str]:
    """What a caller says when each input is read out; a date and digits are typed on the keys."""
    heard = {"User name": "user", "Name": "name", "Date of birth (YYYYMMDD)": "born", "Last four digits": "card"}
    answers = {}
    for item in asked:
        answers[item["name"]] = said = caller[heard[item["label"]]]
        assert item["min"] <= len(said) <= item["max"] and item["check"] == "none"
        assert said.isdigit() == (item["kind"] in ("date", "digits"))
    return answers


def test_a_telephone_asks_its_caller_in_two_rounds_and_earns_a_token_of_the_account(node, server):
    account(server, "ada", knows={"name": "Ada Lovelace", "birth_date": "1815-12-10", "last_four": "1843"})
    caller = {"user": "Ada", "name": "ada lovelace", "born": "18151210", "card": "1834"}
    app = App(node, server, client_id=running.APP, dpop=True, device="telephone")
    rounds = []
    for _ in range(4):
        step = app.hear()
        rounds.append((step["asked"], step["reason"], step["tries_left"]))
        app.tell(telephone(caller, step["inputs"]))
        if len(rounds) == 2:
            caller["card"] = "1843"
    first, second = ["username", "name", "birth_date"], ["last_four"]
    assert rounds == [(first, "none", 5), (second, "none", 5), (first, "wrong_answer", 4), (second, "none", 4)]
    claims = jwt.decode(app.hear()["granted"]["access_token"], options={"verify_signature": False})
    assert app.end() == 0
    assert claims["sub"].startswith("ac-") and "device_id" not in claims


def test_it_is_told_by_the_error_code_that_it_is_not_first_party(node, server):
    app = App(node, server, client_id=running.OUTSIDER, dpop=True, device="lp-peer")
    assert app.hear() == {"error": "unauthorized_client"}
    assert app.end() == 1


@proves("FIPA-5.2.2.1-b")
def test_it_is_sent_to_the_web_with_its_request_pushed(node, tmp_path):
    policy = [{"web": "required"}]
    with running.server(tmp_path, clients=CLIENTS, policy=policy) as server:
        app = App(node, server, client_id=NATIVE, dpop=False, device="lp-peer", redirect_uri="http://127.0.0.1:5123/back")
        told = app.hear()
        assert app.end() == 1
        assert (told["error"], told["expires_in"]) == ("redirect_to_web", 600)
        browser = person(server)
        browser.get(f"/authorize?{urlencode({'client_id': NATIVE, 'request_uri': told['request_uri']})}")
        assert came_back(decide(browser))["iss"] == server.issuer


def test_the_lock_file_names_no_registry():
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock and "registry" not in lock
