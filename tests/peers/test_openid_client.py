"""`openid-client` (npm), certified for what others call OAuth, pairs as a device: the device grant with DPoP.

Not our client in disguise: openid_client.mjs calls the library and nothing of ours.
"""

import json
import os
import subprocess
from typing import Any

import jwt
import pytest

from tests.authorization_server import running
from tests.authorization_server.browsing import Browser
from tests.authorization_server.web import person
from tests.peers.node import HERE, needs
from tests.requirements import proves

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> str:
    return needs("openid-client")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running.server(tmp_path_factory.mktemp("as")) as started:
        yield started


@pytest.fixture(scope="module")
def ada(server) -> Browser:
    return person(server)


class Device:
    """The foreign device as a process; `hear` is its next line."""

    def __init__(self, node: str, server: running.Server) -> None:
        words = (server.issuer, running.APP, "led:read", running.RESOURCE)
        environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(server.ca)}
        self.process = subprocess.Popen(
            [node, str(HERE / "openid_client.mjs"), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)


@proves("RFC8628-3.5-a", "RFC8414-3.3-a")
def test_it_pairs_when_its_code_is_entered_and_renews_and_revokes(node, server, ada):
    device = Device(node, server)
    assert device.hear()["metadata"]["issuer"] == server.issuer
    shown = device.hear()["shown"]
    ada.get("/device")
    ada.send("/device", user_code=shown["user_code"])
    ada.send("/device", decision="allow")
    done = device.hear()
    assert device.process.wait(60) == 0
    assert done["granted"]["token_type"].lower() == "dpop"
    claims = jwt.decode(done["granted"]["access_token"], options={"verify_signature": False})
    assert "cnf" in claims and claims["aud"] == running.RESOURCE
    assert done["granted"]["refresh_token"] != done["refreshed"]["refresh_token"]


def test_it_hears_that_a_person_refused(node, server, ada):
    device = Device(node, server)
    device.hear()
    ada.get("/device")
    ada.send("/device", user_code=device.hear()["shown"]["user_code"])
    ada.send("/device", decision="refuse")
    assert device.hear() == {"error": "access_denied"}
