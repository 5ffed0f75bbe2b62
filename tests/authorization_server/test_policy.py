"""Which challenges a request must pass, several in a row, and the profile that the README publishes.

Not the challenges themselves.
"""

import json
import re

import pytest

from host_sim.authorization_server import challenge_endpoint, policy
from host_sim.authorization_server.settings import PolicyRule
from tests.authorization_server import running
from tests.authorization_server.parties import Party
from tests.requirements import proves

README = (running.ROOT / "host_sim" / "authorization_server" / "README.md").read_text(encoding="utf-8")


def test_challenges_are_passed_one_after_the_other_in_one_session(tmp_path):
    with running.server(tmp_path, policy=[{"challenges": ["pin", "pin"]}]) as server:
        party = Party(server)
        words = party.start().json()["binding_word"]
        first = server.issue_pin(party.device)
        halfway = party.follow(pin=first)
        assert (halfway.status_code, halfway.json()["reason"], halfway.json()["tries_left"]) == (403, "none", 5)
        assert halfway.json()["binding_word"] == words
        assert party.follow(pin=first).json()["reason"] == "wrong_answer"
        done = party.follow(pin=server.issue_pin(party.device))
        assert done.status_code == 200
        assert party.redeem(done.json()["authorization_code"]).status_code == 200


def test_the_first_rule_that_fits_decides_and_without_one_nobody_is_let_in(tmp_path):
    with running.server(tmp_path, policy=[{"scope": "led:write", "challenges": ["pin"]}]) as server:
        assert Party(server).start(scope="led:read led:write").status_code == 403
        refused = Party(server).start(scope="led:read")
        assert (refused.status_code, refused.json()["error"]) == (400, "access_denied")


RULES = [
    PolicyRule(scope="door:open", challenges=["pin", "pin"], acr="two"),
    PolicyRule(device="shop-*", challenges=["pin"], acr="shop"),
    PolicyRule(scope="led:write", challenges=["pin"], acr="one"),
    PolicyRule(scope="led:read", challenges=["pin"]),
    PolicyRule(scope="led:read", challenges=["pin", "pin"], acr="two"),
]


@pytest.mark.parametrize(
    ("scope", "device", "acr_values", "decides"),
    [
        ("door:open led:write", "lp-1", "", 0),
        ("led:write", "shop-7", "", 1),
        ("led:write", "workshop-7", "", 2),
        ("led:read", "lp-1", "", 3),
        ("led:read", "lp-1", "two", 4),
        ("led:read led:write", "lp-1", "nowhere two one", 4),  # best liked first
        ("led:write", "lp-1", "two", 2),  # nothing that fits leads there
        ("led:erase", "shop-1", "one", 1),
        ("led:erase", "lp-1", "one", None),
    ],
)
def test_scope_device_and_acr_values_choose_the_rule(scope, device, acr_values, decides):
    assert policy.choose(RULES, scope, device, acr_values) is (None if decides is None else RULES[decides])


@proves("FIPA-5.2-a")
def test_the_published_profile_shows_the_members_that_are_sent(server):
    shown = {name: json.loads(text) for name, text in re.findall(r"```json (\w+)\n(.*?)```", README, re.DOTALL)}
    party = Party(server)
    prompt = party.start()
    waiting = re.findall(r"waiting` \| `\[\{(.*?)\}\]", README)
    assert [", ".join(server.admin("waiting")[0])] == waiting
    assert list(prompt.json()) == list(shown["prompt"])
    assert prompt.json()["inputs"] == shown["prompt"]["inputs"]
    assert prompt.json()["message"] == shown["prompt"]["message"]
    assert len(prompt.content) == challenge_endpoint.BODY_BYTES
    assert list(party.follow(pin=server.issue_pin(party.device)).json()) == list(shown["code"])
