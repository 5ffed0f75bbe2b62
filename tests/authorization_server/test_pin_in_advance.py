"""A PIN for whoever installs a device: issued for its id, before it asks.

Not the PIN of a waiting session: test_challenge.py and test_guessing.py.
"""

import time

import pytest

from latchpin.wire.check_digit import damm
from tests.authorization_server import running
from tests.authorization_server.parties import Party, wrong_pin


def advance(server: running.Server, device: str) -> str:
    issued = server.admin("pin", device=device, in_advance=True)
    assert (issued["device"], issued["binding_word"]) == (device, None)
    return issued["pin"]


def test_a_pin_in_advance_lets_the_device_in_whenever_it_asks_and_once(server):
    party = Party(server)
    pin = advance(server, party.device)
    assert damm(pin) == "0"
    assert [entry for entry in server.admin("waiting") if entry["device"] == party.device] == []
    party.start()
    assert [entry["pin_issued"] for entry in server.admin("waiting") if entry["device"] == party.device] == [True]
    assert party.follow(pin=pin).status_code == 200
    again = Party(server, device=party.device)
    again.start()
    assert again.follow(pin=pin).json()["reason"] == "wrong_answer"


def test_it_is_for_this_device_alone_and_for_a_client_that_vouches_for_it(server):
    party = Party(server)
    pin = advance(server, party.device)
    for other in (Party(server), Party(server, client=running.APP, device=party.device)):
        other.start()
        assert other.follow(pin=pin).json()["reason"] == "wrong_answer"
    party.start()
    assert party.follow(pin=pin).status_code == 200


def test_a_pin_of_the_session_works_beside_it_and_ends_it(server):
    party = Party(server)
    early = advance(server, party.device)
    party.start()
    assert party.follow(pin=server.issue_pin(party.device)).status_code == 200
    party.start()
    assert party.follow(pin=early).json()["reason"] == "wrong_answer"


def test_five_wrong_answers_void_it_and_issuing_it_again_unlocks(server):
    party = Party(server)
    pin = advance(server, party.device)
    party.start()
    for _ in range(5):
        party.follow(pin=wrong_pin(pin))
    assert party.start().json()["reason"] == "locked"
    newer = advance(server, party.device)
    party.start()
    assert party.follow(pin=pin).json()["reason"] == "wrong_answer"
    assert party.follow(pin=newer).status_code == 200


def test_it_expires_with_a_time_of_its_own(tmp_path):
    with running.server(tmp_path, pin_in_advance_ttl_s=1) as server:
        party = Party(server)
        pin = advance(server, party.device)
        time.sleep(1.1)  # the PIN's own time: nothing can be waited for
        party.start()
        assert party.follow(pin=pin).json()["reason"] == "expired"
        assert party.follow(pin=server.issue_pin(party.device)).status_code == 200


@pytest.mark.parametrize(
    ("device", "error"), [("lp-nobody", "unknown_device"), ("no/id", "invalid_request"), ("", "invalid_request")]
)
def test_there_is_none_for_a_device_that_cannot_ask(tmp_path_factory, device, error):
    with running.server(tmp_path_factory.mktemp("as"), devices=["lp-known"]) as server:
        assert server.admin("pin", device=device, in_advance=True)["error"] == error


def test_the_console_line_issues_it(server):
    party = Party(server)
    done = server.run("pin", "issue", "--in-advance", "--device", party.device)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.endswith(f"for {party.device}, when it asks.") and "1440 min" in second
    party.start()
    assert party.follow(pin="".join(first.split()[1:4])).status_code == 200
