"""Whoever guesses a PIN: how often, what it costs, and how little it tells.

Not timing: equal work is by construction here (the decoy path), and measured where there is a figure to hold.
"""

import base64
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from host_sim.authorization_server.challenge_endpoint import MAX_CLAIMED_SESSIONS
from host_sim.authorization_server.challenges import otp
from host_sim.authorization_server.storage import MAX_TRIES, Session, Storage
from host_sim.authorization_server.storage.proving import DAY_S, MAX_FAILURES_A_DAY
from tests.authorization_server import running
from tests.authorization_server.browsing import account
from tests.authorization_server.parties import Party, wrong_pin
from tests.requirements import proves


@proves("PROTOCOL-5-c", "FIPA-9.3-a")
def test_five_wrong_answers_lock_and_the_right_pin_comes_too_late(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.device)
    told = []
    for _ in range(5):
        answer = party.follow(pin=wrong_pin(pin)).json()
        told.append((answer["reason"], answer["tries_left"]))
    assert told == [("wrong_answer", 4), ("wrong_answer", 3), ("wrong_answer", 2), ("wrong_answer", 1), ("locked", 0)]
    assert party.follow(pin=pin).json()["reason"] == "locked"
    assert party.follow().json()["reason"] == "locked"


@proves("PROTOCOL-5-c")
def test_a_locked_device_stays_locked_when_it_starts_again(server):
    party = Party(server)
    party.start()
    for _ in range(5):
        party.follow(pin="123456780")
    again = Party(server, device=party.device)
    assert (again.start().json()["reason"], again.follow(pin="123456780").json()["tries_left"]) == ("locked", 0)
    assert [entry["locked"] for entry in server.admin("waiting") if entry["device"] == party.device] == [True]


@proves("PROTOCOL-5-c")
def test_a_person_unlocks_and_the_pin_of_before_is_void_all_the_same(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.device)
    for _ in range(5):
        party.follow(pin=wrong_pin(pin))
    assert server.admin("unlock", device=party.device) == {"device": party.device, "unlocked": True}
    assert party.follow().json()["tries_left"] == 5
    assert party.follow(pin=pin).json()["reason"] == "wrong_answer"
    assert party.follow(pin=server.issue_pin(party.device)).status_code == 200


@proves("PROTOCOL-5-c")
def test_issuing_again_unlocks(server):
    party = Party(server)
    party.start()
    for _ in range(5):
        party.follow(pin="123456780")
    pin = server.issue_pin(party.device)
    assert party.follow(pin=pin).status_code == 200


def test_asking_where_it_stands_costs_no_attempt_and_gives_none_back(server):
    party = Party(server)
    party.start()
    party.follow(pin="123456780")
    assert [party.follow().json()["tries_left"] for _ in range(3)] == [4, 4, 4]


@proves("PROTOCOL-5-c")
@pytest.mark.parametrize("pin", ["1", "12345678", "1234567890", "abcdefghi", "١٢٣٤٥٦٧٨٩", "' OR 1=1 --"])
def test_an_answer_that_is_no_pin_at_all_is_counted_like_any_other(server, pin):
    party = Party(server)
    party.start()
    answer = party.follow(pin=pin).json()
    assert (answer["reason"], answer["tries_left"]) == ("wrong_answer", 4)


def test_a_pin_works_once(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.device)
    assert party.follow(pin=pin).status_code == 200
    party.start()
    assert party.follow(pin=pin).status_code == 403


def test_a_pin_expires_and_a_new_one_goes_on_in_the_same_session(tmp_path):
    with running.server(tmp_path, pin_ttl_s=3) as server:
        party = Party(server)
        party.start()
        pin = server.issue_pin(party.device)
        time.sleep(3.1)
        answer = party.follow(pin=pin).json()
        assert (answer["reason"], answer["tries_left"]) == ("expired", 4)
        assert party.follow(pin=server.issue_pin(party.device)).status_code == 200


@proves("PROTOCOL-5-e", "FIPA-9.3-a")
def test_fifty_guesses_at_once_with_one_auth_session_are_one_attempt(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.device)
    with ThreadPoolExecutor(50) as pool:
        fields = {"auth_session": party.auth_session, "pin": wrong_pin(pin)}
        answers = list(pool.map(lambda _: party.post("challenge", fields).json(), range(50)))
    accepted = [answer for answer in answers if answer["error"] == "insufficient_authorization"]
    assert len(accepted) == 1
    assert {answer["error"] for answer in answers if answer not in accepted} == {"invalid_session"}
    assert party.follow(auth_session=accepted[0]["auth_session"]).json()["tries_left"] == 4


@proves("PROTOCOL-5-e")
def test_waves_of_fifty_parallel_guesses_never_get_more_than_five_compared(server):
    party = Party(server)
    party.start()
    pin = server.issue_pin(party.device)
    compared, auth_session = 0, party.auth_session
    with ThreadPoolExecutor(50) as pool:
        for _ in range(8):
            fields = {"auth_session": auth_session, "pin": wrong_pin(pin)}
            answers = list(pool.map(lambda _, fields=fields: party.post("challenge", fields).json(), range(50)))
            (accepted,) = [answer for answer in answers if answer["error"] == "insufficient_authorization"]
            auth_session = accepted["auth_session"]
            compared += accepted["reason"] != "locked" or accepted["tries_left"] > 0
    assert compared == 4  # the fifth comparison is the one that locks
    assert party.follow(auth_session=auth_session, pin=pin).json()["reason"] == "locked"
    tries = [line["tries_left"] for line in server.events("challenge") if line.get("device") == party.device]
    assert sorted(set(tries)) == [0, 1, 2, 3, 4, 5]


@proves("PROTOCOL-5-e")
def test_an_attempt_is_counted_atomically_whoever_comes_at_once(tmp_path):
    storages = [Storage(tmp_path / "state.sqlite") for _ in range(4)]  # as four processes would open it
    session = Session("s", "c", "d", True, False, None, "x", "y", "z", "amber fox", "pin", 0, 0, 1, 0, 99, b"h", None)
    with storages[0].transaction() as transaction:
        transaction.add_session(session)

    def guess(number: int) -> int | None:
        with storages[number % 4].transaction() as transaction:
            return transaction.charge_attempt("s")

    def guess_at_account(number: int) -> bool:
        with storages[number % 4].transaction() as transaction:
            return transaction.charge_subject(b"account", True, 0)

    with ThreadPoolExecutor(50) as pool:
        left = list(pool.map(guess, range(50)))
        compared = list(pool.map(guess_at_account, range(50)))
    assert sorted(count for count in left if count is not None) == list(range(MAX_TRIES))
    assert compared.count(True) == MAX_FAILURES_A_DAY
    for storage in storages:
        storage.close()


@proves("PROTOCOL-5-e", "PROTOCOL-5-q")
def test_fifty_guesses_at_one_account_at_once_are_fifty_attempts_and_twenty_comparisons(tmp_path):
    with running.server(tmp_path, policy=[{"challenges": ["otp"]}]) as server:
        account(server, "ada")
        secret = re.findall(r"secret=(\w+)", server.run("user", "otp", "ada").stdout)[0]
        parties = [Party(server, client=running.BEARER_APP, dpop=False) for _ in range(50)]
        for party in parties:
            party.start()
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda party: party.follow(username="ada", otp="wrong!").json(), parties))
        assert [(answer["reason"], answer["tries_left"]) for answer in answers] == [("wrong_answer", 4)] * 50
        connection = sqlite3.connect(server.state / "state.sqlite")
        charged = connection.execute("SELECT today, in_a_row FROM failures ORDER BY today DESC").fetchone()
        connection.close()
        assert charged == (50, MAX_FAILURES_A_DAY)
        right = otp.value(base64.b32decode(secret), int(time.time()))
        assert parties[0].follow(username="ada", otp=right).json()["reason"] == "wrong_answer"
        bridge = Party(server)
        bridge.start()
        assert bridge.follow(username="ada", otp=right).json()["reason"] == "locked"
        assert server.run("user", "unlock", "ada").returncode == 0
        right = otp.value(base64.b32decode(secret), int(time.time()))
        assert bridge.follow(username="ada", otp=right).status_code == 200


@proves("PROTOCOL-5-q")
def test_twenty_failures_a_day_limit_a_device_though_a_person_issues_again_and_again(server):
    party = Party(server)
    for _ in range(4):
        party.start()
        pin = server.issue_pin(party.device)
        for _ in range(5):
            party.follow(pin=wrong_pin(pin))
    assert server.admin("pin", device=party.device)["error"] == "limited"
    assert party.start().json()["reason"] == "locked"
    assert server.admin("unlock", device=party.device)["unlocked"]
    party.start()
    assert party.follow(pin=server.issue_pin(party.device)).status_code == 200


@proves("PROTOCOL-5-q")
def test_a_hundred_failures_in_a_row_stay_until_a_person_acts_and_a_passed_session_ends_the_row(tmp_path):
    storage = Storage(tmp_path / "state.sqlite")
    with storage.transaction() as transaction:

        def guesses_of_day(day: int, guesses: int = 30) -> int:
            return sum(transaction.charge_subject(b"a", True, day * DAY_S) for _ in range(guesses))

        assert [guesses_of_day(day) for day in range(1, 4)] == [20, 20, 20]
        transaction.end_failures_in_a_row(b"a")
        assert [guesses_of_day(day) for day in range(4, 12)] == [20, 20, 20, 20, 20, 0, 0, 0]
        transaction.prune(100 * DAY_S)
        assert transaction.is_limited(b"a", 100 * DAY_S)
        assert transaction.forget_failures(b"a")
        assert guesses_of_day(100) == 20
    storage.close()


def test_what_is_given_back_counts_nowhere_and_a_day_ends(tmp_path):
    storage = Storage(tmp_path / "state.sqlite")
    with storage.transaction() as transaction:
        for _ in range(200):
            assert transaction.charge_subject(b"a", True, 1)
            transaction.give_back_subject(b"a")
        for _ in range(20):
            assert transaction.charge_subject(b"a", False, 1)
        assert transaction.is_limited(b"a", DAY_S)
        assert not transaction.is_limited(b"a", DAY_S + 1)
    storage.close()


def _shape(response) -> tuple:
    return response.status_code, tuple(sorted(response.json())), len(response.content), tuple(sorted(response.headers))


@proves("PROTOCOL-5-d", "FIPA-9.3-a")
def test_prompt_unknown_device_wrong_expired_and_locked_look_alike(tmp_path):
    with running.server(tmp_path, pin_ttl_s=1, devices=["lp-known", "lp-locked", "lp-expired"]) as server:
        shapes, reasons = set(), []
        unknown = Party(server, device="lp-nobody")
        known = Party(server, device="lp-known")
        locked = Party(server, device="lp-locked")
        expired = Party(server, device="lp-expired")
        app = Party(server, client=running.APP)
        for party in (unknown, known, locked, expired, app):
            answer = party.start()
            shapes.add(_shape(answer))
            reasons.append(answer.json()["reason"])
        for party in (unknown, known, app):
            answer = party.follow(pin="123456780")
            shapes.add(_shape(answer))
            reasons.append(answer.json()["reason"])
        for _ in range(5):
            answer = locked.follow(pin="123456780")
        shapes.add(_shape(answer))
        pin = server.issue_pin("lp-expired")
        time.sleep(1.1)
        shapes.add(_shape(expired.follow(pin=pin)))
        assert len(shapes) == 1
        assert reasons == ["unknown_device", "none", "none", "none", "none", "unknown_device", "wrong_answer", "wrong_answer"]
        assert server.admin("pin", device="lp-nobody")["error"] == "not_waiting"
        assert "lp-nobody" not in [entry["device"] for entry in server.admin("waiting")]


@proves("PROTOCOL-5-d")
def test_only_an_authenticated_client_is_told_the_exact_reason(tmp_path):
    with running.server(tmp_path, pin_ttl_s=1) as server:
        app, bridge = Party(server, client=running.APP), Party(server)
        reasons = {}
        for party in (app, bridge):
            party.start()
            pin = server.issue_pin(party.name)
            time.sleep(1.1)
            told = [party.follow(pin=pin).json()["reason"]]
            told += [party.follow(pin=pin).json()["reason"] for _ in range(5)]
            reasons[party.client] = told
        assert set(reasons[running.APP]) == {"wrong_answer"}
        assert reasons[running.BRIDGE] == ["expired"] * 4 + ["locked"] * 2


def test_an_unknown_device_can_never_be_satisfied_and_charges_like_any_other(tmp_path):
    with running.server(tmp_path, devices=["lp-known"]) as server:
        party = Party(server, device="lp-nobody")
        party.start()
        assert [party.follow(pin="123456780").json()["tries_left"] for _ in range(6)] == [4, 3, 2, 1, 0, 0]


def test_a_public_client_cannot_open_sessions_without_end(tmp_path):
    with running.server(tmp_path, session_ttl_s=3600) as server:
        party = Party(server, client=running.BEARER_APP, dpop=False)
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda _: party.start().status_code, range(MAX_CLAIMED_SESSIONS + 3)))
        assert (codes.count(403), codes.count(503)) == (MAX_CLAIMED_SESSIONS, 3)
        assert Party(server).start().status_code == 403
