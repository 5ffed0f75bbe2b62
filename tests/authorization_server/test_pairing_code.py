"""The challenge `pairing_code`: the device shows a code, a person approves it, the device looks again.

Not the console's page for it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from host_sim.authorization_server import admin, user_codes
from host_sim.authorization_server.admin import AdminError
from tests.authorization_server import running
from tests.authorization_server.direct import Asker, Direct, open_direct
from tests.authorization_server.parties import Party

ONLY_CODE = [{"challenges": ["pairing_code"]}]


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    with open_direct(tmp_path, policy=ONLY_CODE, devices=["lp-1", "lp-2"]) as opened:
        yield opened


def test_the_device_shows_a_code_until_a_person_approves_it(direct):
    asker = Asker(direct)
    shown = asker.start()
    assert (shown["inputs"], shown["retry_after"]) == ([], 5)
    code = shown["user_code"]
    assert len(code) == 9 and set(code) <= set("BCDFGHJKLMNPQRSTVWXZ-")
    assert shown["message"] == f"Approve {code} at https://localhost:9443"
    for _ in range(10):
        assert asker.follow()["user_code"] == code
    assert asker.said["tries_left"] == 5
    (waiting,) = admin.waiting(direct.services)
    assert waiting["asking"] == "pairing_code" and code not in str(waiting)
    approved = admin.approve(direct.services, code.lower().replace("-", " "))
    assert approved == {"device": "lp-1", "binding_word": shown["binding_word"]}
    assert "authorization_code" in asker.follow()


def test_only_the_code_of_this_session_lets_its_device_in(direct):
    one, two = Asker(direct), Asker(direct, device="lp-2")
    codes = [one.start()["user_code"], two.start()["user_code"]]
    assert codes[0] != codes[1]
    admin.approve(direct.services, codes[1])
    assert "inputs" in one.follow()
    assert "authorization_code" in two.follow()
    assert one.start()["user_code"] != codes[0]
    for dead in (*codes, "BCDF-GHJK", "", "💥"):
        with pytest.raises(AdminError, match="no device shows this code"):
            admin.approve(direct.services, dead)


def test_the_code_of_an_unknown_device_is_one_that_nobody_can_approve(direct):
    asker = Asker(direct, device="lp-nobody")
    code = asker.start()["user_code"]
    assert len(code) == 9
    with pytest.raises(AdminError):
        admin.approve(direct.services, code)


def test_a_code_ends_with_its_session(direct):
    asker = Asker(direct)
    code = asker.start()["user_code"]
    direct.clock_s += direct.services.settings.session_ttl_s
    with pytest.raises(AdminError):
        admin.approve(direct.services, code)
    assert asker.follow()["error"] == "invalid_session"


def test_a_refused_device_is_told_so_and_may_start_again(direct):
    asker = Asker(direct)
    code = asker.start()["user_code"]
    admin.refuse(direct.services, "lp-1")
    assert admin.waiting(direct.services) == []
    with pytest.raises(AdminError):
        admin.approve(direct.services, code)
    assert (asker.follow()["error"], asker.status) == ("access_denied", 400)
    assert asker.start()["user_code"] != code


def test_a_code_and_then_a_pin(tmp_path):
    with open_direct(tmp_path, policy=[{"challenges": ["pairing_code", "pin"]}]) as direct:
        asker = Asker(direct)
        code = asker.start()["user_code"]
        assert asker.follow(pin="123456782")["user_code"] == code  # nothing to answer yet, and no attempt
        assert asker.said["tries_left"] == 5
        admin.approve(direct.services, code)
        assert (asker.follow()["user_code"], asker.asked) == ("", ["pin"])
        assert "authorization_code" in asker.follow(pin=admin.issue_pin(direct.services, "lp-1")["pin"])


def test_over_https_and_by_the_console_line(tmp_path):
    with running.server(tmp_path, policy=ONLY_CODE) as server:
        party = Party(server)
        shown = party.start().json()
        assert party.follow().status_code == 403
        assert server.run("device", "approve", "BCDF-GHJK").returncode == 1
        done = server.run("device", "approve", shown["user_code"])
        assert done.returncode == 0 and party.device in done.stdout and shown["binding_word"] in done.stdout
        response = party.follow()
        assert response.status_code == 200
        assert party.redeem(response.json()["authorization_code"]).status_code == 200
        party.start()
        assert server.run("device", "refuse", party.device).returncode == 0
        assert party.follow().json()["error"] == "access_denied"


def test_a_code_has_eight_letters_that_are_hard_to_mistake():
    assert user_codes.of(bytes(16)) == "BBBB-BBBB"
    assert user_codes.of(b"\xff" * 32) != user_codes.of(b"\xff" * 31)
    assert user_codes.normal(" wdjb mjht ") == "WDJB-MJHT"
