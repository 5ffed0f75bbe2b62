"""PIN in, token out through the bridge: real broker, real reference AS, and a device that signs with somebody else's library.

Not the agent: tests/journeys/ has the device itself.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchpin.wire.bridge_side import CODES
from tests.authorization_server import running as servers
from tests.authorization_server.browsing import account
from tests.authorization_server.parties import DpopKey, verifier_and_challenge, wrong_pin
from tests.bridge.driver import Bridge, Device, Place, running, until
from tests.bridge.foreign import Foreign, Said, foreign
from tests.brokers.running import Running


class Owner:
    """A device with what it holds for the AS: DPoP key, verifier, newest auth_session and nonce."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.key = DpopKey()
        self.verifier, self.code_challenge = verifier_and_challenge()
        self.offer = device.ask("DISCOVER", resource=0)
        self.nonce = self.offer.get("dpop_nonce")
        self.auth_session = ""

    def ask(self, kind: str, endpoint: str, **fields: Any) -> Any:
        """The reply to a signed request; signed again where the AS wants another nonce."""
        proof = self.key.sign(self.offer[endpoint], self.nonce)
        reply = self.device.ask(kind, resource=0, dpop=proof, **fields)
        self.auth_session = reply.get("auth_session") or self.auth_session
        before, self.nonce = self.nonce, reply.get("dpop_nonce") or self.nonce
        if reply.name == "ERROR" and CODES[reply["error"]] == "use_dpop_nonce":
            assert self.nonce != before
            return self.ask(kind, endpoint, **fields)
        return reply

    def start(self) -> Any:
        return self.ask("CHALLENGE", "challenge_endpoint", scope=1, code_challenge=self.code_challenge)

    def follow(self, **answers: str) -> Any:
        fields = {"answers": answers} if answers else {}
        return self.ask("CHALLENGE", "challenge_endpoint", scope=1, auth_session=self.auth_session, **fields)

    def token(self, **fields: str) -> Any:
        return self.ask("TOKEN", "token_endpoint", **fields)


class Town:
    def __init__(self, place: Place, broker: Running, server: servers.Server, mcp: Foreign, bridge: Bridge) -> None:
        self.place, self.broker, self.server, self.mcp, self.bridge = place, broker, server, mcp, bridge

    def owner(self) -> Owner:
        return Owner(Device(self.place.identity(), self.broker).shake())


@pytest.fixture
def town(place: Place, broker: Running, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Town]:
    policy = [{"challenges": getattr(request, "param", ["pin"])}]
    with foreign(tmp_path / "mcp", servers._certificate_authority()) as mcp:
        resources = [{"uri": mcp.resource, "scopes": ["led:read", "led:write"]}]
        with servers.server(tmp_path / "as", resources=resources, pin_ttl_s=8, policy=policy) as server:
            mcp.resource_metadata["authorization_servers"] = [server.issuer]
            (place.folder / "client.secret").write_text(servers.BRIDGE_SECRET)
            config = place.configure(broker, server.issuer, mcp.resource, server.ca, log_level="debug")
            with running(config) as bridge:
                yield Town(place, broker, server, mcp, bridge)


def error(reply: Any) -> str:
    assert reply.name == "ERROR", reply
    return CODES[reply["error"]]


def test_a_pin_becomes_a_token_and_the_token_a_call(town: Town):
    owner = town.owner()
    assert owner.offer["dpop_supported"] is True
    asked = owner.start()
    assert asked.name == "PROMPT" and asked["inputs"] == [
        {"name": "pin", "kind": 0, "min": 9, "max": 9, "check": 1, "label": "PIN"}
    ]
    (waiting,) = town.server.admin("waiting")
    assert waiting["device"] == owner.device.identity.device and waiting["binding_word"] == asked["binding_word"]
    code = owner.follow(pin=town.server.issue_pin(owner.device.identity.device))
    assert code.name == "CODE"
    tokens = owner.token(code=code["code"], code_verifier=owner.verifier)
    assert tokens.name == "TOKENS" and tokens["token_type"] == "DPoP" and tokens["granted_scope"] == "led:read led:write"
    again = owner.token(refresh_token=tokens["refresh_token"])
    assert again.name == "TOKENS" and again["refresh_token"] != tokens["refresh_token"]
    town.mcp.says("/mcp", Said(200, {"jsonrpc": "2.0"}))
    call = {"resource": 0, "method": "tools/call", "name": "whoami", "block": 0, "body": b"{}"}
    proof = owner.key.sign(owner.offer["resource_uri"], None)
    result = owner.device.ask("CALL", access_token=again["access_token"], dpop=proof, **call)
    assert result["status"] == 200
    sent = town.mcp.to("/mcp")[0].headers
    assert sent["authorization"] == f"DPoP {again['access_token']}" and sent["dpop"] == proof


def test_wrong_pins_are_counted_and_the_fifth_locks(town: Town):
    owner = town.owner()
    owner.start()
    pin = town.server.issue_pin(owner.device.identity.device)
    for left in (4, 3, 2, 1):
        reply = owner.follow(pin=wrong_pin(pin))
        assert error(reply) == "wrong_answer" and reply["tries_left"] == left
    assert error(owner.follow(pin=wrong_pin(pin))) == "locked"
    assert error(owner.follow(pin=pin)) == "locked"


def test_a_wrong_pin_then_the_right_one(town: Town):
    owner = town.owner()
    owner.start()
    pin = town.server.issue_pin(owner.device.identity.device)
    assert error(owner.follow(pin=wrong_pin(pin))) == "wrong_answer"
    assert owner.follow().name == "PROMPT"
    assert owner.follow(pin=pin).name == "CODE"


@pytest.mark.parametrize("town", [["pairing_code", "knowledge"]], indirect=True)
def test_a_code_on_the_screen_and_then_two_rounds_of_questions(town: Town):
    answers = {"name": "Ada Lovelace", "birth_date": "18151210", "last_four": "1843"}
    account(town.server, "ada", knows=answers)
    owner = town.owner()
    shown = owner.start()
    assert (shown.name, shown["inputs"], shown["ttl_s"]) == ("PROMPT", [], 5)
    code = re.findall("[A-Z]{4}-[A-Z]{4}", shown["message"])[0]
    assert owner.follow()["message"] == shown["message"]
    assert town.server.admin("approve", user_code=code)["binding_word"] == shown["binding_word"]
    asked = owner.follow()
    assert [(item["name"], item["kind"]) for item in asked["inputs"]] == [("username", 1), ("name", 1), ("birth_date", 2)]
    asked = owner.follow(username="ada", name=answers["name"], birth_date="1815-12-10")
    assert [item["name"] for item in asked["inputs"]] == ["last_four"]
    assert error(owner.follow(last_four="0000")) == "wrong_answer"
    assert [item["name"] for item in owner.follow()["inputs"]] == ["username", "name", "birth_date"]
    owner.follow(username="ada", name=answers["name"], birth_date=answers["birth_date"])
    code = owner.follow(last_four=answers["last_four"])
    assert code.name == "CODE"
    assert owner.token(code=code["code"], code_verifier=owner.verifier).name == "TOKENS"


@pytest.mark.parametrize("town", [["pairing_code"]], indirect=True)
def test_a_person_who_refuses_denies_the_device(town: Town):
    owner = town.owner()
    owner.start()
    town.server.admin("refuse", device=owner.device.identity.device)
    assert error(owner.follow()) == "denied"


def test_a_pin_that_is_repeated_is_charged_once(town: Town):
    owner = town.owner()
    owner.start()
    pin = town.server.issue_pin(owner.device.identity.device)
    proof = owner.key.sign(owner.offer["challenge_endpoint"], owner.nonce)
    fields = {"resource": 0, "scope": 1, "auth_session": owner.auth_session, "answers": {"pin": wrong_pin(pin)}, "dpop": proof}
    replies = [owner.device.ask("CHALLENGE", b"same-rid", **fields) for _ in range(3)]
    assert [reply["tries_left"] for reply in replies] == [4, 4, 4]
    owner.auth_session = replies[0]["auth_session"]
    assert owner.follow(pin=pin).name == "CODE"


def test_the_servers_are_told_the_request_id_that_the_bridge_logs(town: Town):
    owner = town.owner()
    proof = owner.key.sign(owner.offer["challenge_endpoint"], owner.nonce)
    fields = {"resource": 0, "scope": 1, "code_challenge": owner.code_challenge, "dpop": proof}
    owner.device.ask("CHALLENGE", bytes.fromhex("0badcafe01020304"), **fields)
    assert town.bridge.line(event="request", rid="0badcafe")["step"] == "challenge"
    until(lambda: [line for line in town.server.events("challenge") if line.get("request") == "0badcafe"] != [])
    (asked,) = town.mcp.asked
    assert town.bridge.line(event="request", step="discover")["rid"] == asked.headers["x-request-id"]


def test_a_pin_that_came_too_late_is_expired(town: Town):
    owner = town.owner()
    owner.start()
    pin = town.server.issue_pin(owner.device.identity.device)
    time.sleep(8.5)
    assert error(owner.follow(pin=pin)) == "expired"
    assert owner.follow(pin=town.server.issue_pin(owner.device.identity.device)).name == "CODE"


def test_a_session_made_up_is_no_session_and_a_spent_code_no_grant(town: Town):
    owner = town.owner()
    owner.start()
    kept, owner.auth_session = owner.auth_session, "made-up"
    assert error(owner.follow()) == "invalid_session"
    owner.auth_session = kept
    code = owner.follow(pin=town.server.issue_pin(owner.device.identity.device))
    assert owner.token(code=code["code"], code_verifier=owner.verifier).name == "TOKENS"
    assert error(owner.token(code=code["code"], code_verifier=owner.verifier)) == "invalid_grant"


def test_the_bridge_redeems_nothing_without_the_verifier_and_the_key_of_the_device(town: Town):
    owner = town.owner()
    owner.start()
    code = owner.follow(pin=town.server.issue_pin(owner.device.identity.device))
    assert error(owner.token(code=code["code"], code_verifier="v" * 43)) in ("invalid_grant", "invalid")
    other = DpopKey()
    owner.key, kept = other, owner.key
    assert error(owner.token(code=code["code"], code_verifier=owner.verifier)) in ("invalid_grant", "invalid")
    assert kept


def test_another_replica_goes_on_where_the_first_one_died(town: Town):
    """Decision 8: the device keeps its auth_session, the bridge keeps nothing."""
    owner = town.owner()
    owner.start()
    pin = town.server.issue_pin(owner.device.identity.device)
    town.bridge.process.kill()
    town.bridge.process.wait()
    with running(town.place.folder / "bridge.toml") as second:
        assert second.replica != town.bridge.replica
        owner.device.shake()
        assert owner.follow().name == "PROMPT"
        assert owner.follow(pin=pin).name == "CODE"


def test_a_client_secret_that_the_as_does_not_know_is_the_operators_matter(town: Town):
    (town.place.folder / "client.secret").write_text("not the secret")
    town.bridge.stop()
    with running(town.place.folder / "bridge.toml") as bridge:
        owner = town.owner()
        assert error(owner.start()) == "internal"
        assert bridge.line(event="request", outcome="internal")["code"] == "invalid_client"
