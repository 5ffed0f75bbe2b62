"""The challenge `knowledge`: several fields in rounds, compared when all are in.

Not the limits that hold for every challenge: test_guessing.py.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_sim.authorization_server import admin
from host_sim.authorization_server.admin import AdminError
from tests.authorization_server import running
from tests.authorization_server.browsing import account
from tests.authorization_server.direct import ADA, Asker, Direct, open_direct
from tests.authorization_server.parties import Party

ONLY_KNOWLEDGE = [{"challenges": ["knowledge"]}]


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    with open_direct(tmp_path, policy=ONLY_KNOWLEDGE) as opened:
        opened.account("ada", **ADA)
        yield opened


def first(asker: Asker, name: str = "ada", **changes: str) -> None:
    asker.follow(username=name, **{"name": ADA["name"], "birth_date": ADA["birth_date"], **changes})


def test_two_rounds_of_named_fields_earn_a_code(direct):
    app = Asker(direct, client=running.BEARER_APP)
    app.start()
    assert [(item["name"], item["kind"]) for item in app.said["inputs"]] == [
        ("username", "text"),
        ("name", "text"),
        ("birth_date", "date"),
    ]
    first(app)
    assert (app.status, app.said["reason"], app.said["tries_left"]) == (403, "none", 5)
    assert app.said["inputs"] == [
        {"name": "last_four", "kind": "digits", "min": 4, "max": 4, "check": "none", "label": "Last four digits"}
    ]
    assert "authorization_code" in app.follow(last_four=ADA["last_four"])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Grace"},
        {"birth_date": "18151211"},
        {"name": ""},
        {"username": "nobody"},
        {"username": "-"},
        {"last_four": "1844"},
    ],
)
def test_no_round_tells_alone_what_was_wrong_and_the_next_try_begins_with_the_first(direct, changes):
    app = Asker(direct, client=running.BEARER_APP)
    app.start()
    said = {"username": "ada", **ADA, **changes}
    last = said.pop("last_four")
    app.follow(**{name: text for name, text in said.items() if text})
    assert (app.asked, app.said["reason"], app.said["tries_left"]) == (["last_four"], "none", 5)
    app.follow(last_four=last)
    assert (app.asked[0], app.said["reason"], app.said["tries_left"]) == ("username", "wrong_answer", 4)
    first(app)
    assert "authorization_code" in app.follow(last_four=ADA["last_four"])


@pytest.mark.parametrize(
    "changes", [{"name": "ADA  lovelace"}, {"name": "Áda-Lovelace"}, {"birth_date": "1815-12-10"}, {"last_four": " 1843 "}]
)
def test_what_is_said_in_another_way_is_the_same(direct, changes):
    asker = Asker(direct)
    asker.start()
    said = ADA | changes
    asker.follow(username="ADA", name=said["name"], birth_date=said["birth_date"])
    assert "authorization_code" in asker.follow(last_four=said["last_four"])


def test_a_round_that_was_lost_is_asked_again_and_nothing_of_it_is_forgotten(direct):
    asker = Asker(direct)
    asker.start()
    first(asker)
    assert asker.follow()["inputs"][0]["name"] == "last_four"
    assert "authorization_code" in asker.follow(last_four=ADA["last_four"])


def test_an_answer_to_another_round_is_none(direct):
    asker = Asker(direct)
    asker.start()
    asker.follow(last_four=ADA["last_four"])
    assert (asker.asked[0], asker.said["reason"], asker.said["tries_left"]) == ("username", "none", 5)


def test_an_answer_that_says_nothing_or_is_missing_cannot_be_recorded(direct):
    direct.account("grace")
    for answers in ({}, ADA | {"name": " - "}, ADA | {"birth_date": "1815"}, ADA | {"last_four": "18430"}):
        with pytest.raises(AdminError, match="nothing was kept"):
            admin.enrol_knowledge(direct.services, "grace", answers)
    assert direct.services.accounts.by_name("grace").knowledge is None


def test_a_site_names_its_own_fields_and_rounds(tmp_path):
    rounds = [
        [{"name": "pet", "label": "First pet", "kind": "choice", "choices": ["cat", "dog"]}],
        [{"name": "town", "label": "Town"}],
    ]
    username = {"name": "account_number", "kind": "digits", "min": 6, "max": 6, "label": "Account number"}
    with open_direct(tmp_path, policy=ONLY_KNOWLEDGE, knowledge=rounds, username=username) as direct:
        direct.account("123456", pet="cat", town="Gotham")
        asker = Asker(direct)
        asker.start()
        assert asker.said["inputs"][1]["choices"] == ["cat", "dog"]
        asker.follow(account_number="123456", pet="cat")
        assert "authorization_code" in asker.follow(town="gotham")


@pytest.mark.parametrize(
    ("entry", "mend"),
    [
        ({"name": "scope", "label": "x"}, "meaning of its own"),
        ({"name": "pin", "label": "x"}, "meaning of its own"),
        ({"name": "a", "label": "x", "min": 5, "max": 4}, "min is above max"),
        ({"name": "a", "label": "x", "kind": "choice"}, "choices"),
        ({"name": "username", "label": "x"}, "twice"),
    ],
)
def test_fields_that_cannot_be_asked_for_are_refused_at_the_start(tmp_path, entry, mend):
    with pytest.raises(ValueError, match=mend), open_direct(tmp_path, knowledge=[[entry]]):
        pass


def test_the_console_line_records_answers_and_no_file_has_them(tmp_path):
    with running.server(tmp_path, policy=ONLY_KNOWLEDGE) as server:
        account(server, "ada")
        done = subprocess.run(
            [sys.executable, "-m", "host_sim", "as", "user", "knowledge", "ada", "--config", str(server.config)],
            cwd=running.ROOT,
            input="\n".join(ADA.values()) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        party = Party(server)
        party.start()
        party.follow(username="ada", name=ADA["name"], birth_date=ADA["birth_date"])
        assert party.follow(last_four=ADA["last_four"]).status_code == 200
        kept = b"".join(path.read_bytes() for path in server.state.iterdir())
        assert b"Lovelace" not in kept and b"lovelace" not in kept and ADA["birth_date"].encode() not in kept
        server.stop()
        assert "ovelace" not in server.log and ADA["birth_date"] not in server.log
