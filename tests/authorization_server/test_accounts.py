"""Accounts, and the storage that carries them: passwords, names, ids, and databases of earlier versions.

Not signing in: test_sign_in.py.
"""

import sqlite3
import threading

import pytest

from host_sim.authorization_server import accounts
from host_sim.authorization_server.accounts import AccountError, Accounts, Busy
from host_sim.authorization_server.storage import Storage
from host_sim.authorization_server.storage.schema import MIGRATIONS
from tests.authorization_server import running
from tests.authorization_server.browsing import Browser, account

PASSWORD = "correct horse battery staple"


@pytest.fixture
def storage(tmp_path):
    opened = Storage(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def test_an_account_is_known_by_its_password_and_by_its_id(storage):
    people = Accounts(storage, lambda: 1000)
    made = people.create(" Ada@Example.org ", PASSWORD)
    assert (made.name, made.created) == ("ada@example.org", 1000)
    assert people.verify("ADA@example.org", PASSWORD) == people.get(made.id) == people.by_name("ada@example.org") == made
    assert people.verify("ada@example.org", PASSWORD + "r") is None
    assert people.verify("nobody", PASSWORD) is None
    assert people.get("ac-nobody") is None


def test_a_letter_is_the_same_letter_however_a_keyboard_composes_it(storage):
    people = Accounts(storage, lambda: 0)
    people.create("zoe", "Zo\u00eb kauft vier Dinge")
    assert people.verify("zoe", "Zoe\u0308 kauft vier Dinge")


@pytest.mark.parametrize("name", ["", "-ada", "a b", "a" * 65, "ada\n\nb", "ädä", "a/b", "<b>"])
def test_a_name_that_cannot_be_is_refused_and_not_quoted(storage, name):
    with pytest.raises(AccountError, match="a name is") as refused:
        Accounts(storage, lambda: 0).create(name, PASSWORD)
    assert not name or name not in str(refused.value)


@pytest.mark.parametrize("password", ["", "fourteen signs", "a" * 20, "abcabcabcabcabcabc", "x1y2z" * 300])
def test_a_password_that_is_too_short_too_long_or_too_plain_is_refused(storage, password):
    people = Accounts(storage, lambda: 0)
    with pytest.raises(AccountError, match="password"):
        people.create("ada", password)
    assert people.all() == []


def test_a_name_is_given_once(storage):
    people = Accounts(storage, lambda: 0)
    people.create("ada", PASSWORD)
    with pytest.raises(AccountError, match="choose another"):
        people.create("ADA", PASSWORD)


def test_neither_password_nor_its_hash_is_printed_or_stored_in_clear(storage, tmp_path):
    made = Accounts(storage, lambda: 0).create("ada", PASSWORD)
    assert made.password.startswith("$argon2id$") and made.password not in repr(made)
    assert PASSWORD.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_an_unknown_name_costs_as_many_hashes_as_a_known_one(storage, monkeypatch):
    people = Accounts(storage, lambda: 0)
    people.create("ada", PASSWORD)
    spent = []
    verify = accounts.is_password

    def is_password(hashed, given):
        spent.append(hashed.split("$")[1:4])
        return verify(hashed, given)

    monkeypatch.setattr(accounts, "is_password", is_password)
    for name in ("ada", "nobody"):
        assert people.verify(name, "something else") is None
    assert len(spent) == 2 and spent[0] == spent[1]


def test_more_passwords_than_there_is_memory_for_are_put_off_before_they_cost_any(monkeypatch):
    monkeypatch.setattr(accounts, "_IN_LINE", threading.BoundedSemaphore(2))
    entered, leave = threading.Semaphore(0), threading.Event()

    def work():
        with accounts._turn():
            entered.release()
            leave.wait(120)

    working = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in working]
    try:
        assert all(entered.acquire(timeout=60) for _ in working)
        with pytest.raises(Busy):
            accounts.is_password("$argon2id$", PASSWORD)
    finally:
        leave.set()
        [thread.join(60) for thread in working]
    with accounts._turn():
        pass


def test_a_database_of_the_first_version_is_lifted_with_all_that_is_in_it(tmp_path):
    path = tmp_path / "state.sqlite"
    old = sqlite3.connect(path)
    old.executescript(MIGRATIONS[0])
    old.execute("INSERT INTO devices VALUES ('lp-old', 'latchpin-device', 1, 2, 3)")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    for _ in range(2):
        storage = Storage(path)
        with storage.transaction() as transaction:
            device = transaction.device("lp-old")
            version = transaction._execute("PRAGMA user_version").fetchone()[0]
        storage.close()
        assert device and (device.first_seen, device.last_seen, device.locked, device.owner) == (1, 2, 3, None)
        assert version == len(MIGRATIONS)


# The console line


def test_the_console_line_makes_an_account_from_a_password_file_and_prints_no_password(server: running.Server):
    file = server.folder / "password"
    file.write_text(PASSWORD + "\n")
    done = server.run("user", "add", "line@example.org", "--password-file", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert "line@example.org may sign in at" in done.stdout and PASSWORD not in done.stdout
    again = server.run("user", "add", "line@example.org", "--password-file", str(file))
    assert (again.returncode, again.stdout) == (1, "") and "choose another name" in again.stderr


def test_the_console_line_gives_another_password_and_signs_the_account_out(server: running.Server):
    browser = Browser(server).sign_in(account(server, "forgetful"))
    file = server.folder / "another"
    file.write_text("another password altogether\n")
    done = server.run("user", "password", "forgetful", "--password-file", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert browser.get("/").url.path == "/sign-in"
    browser.sign_in("forgetful", "another password altogether").get("/activity")
    assert "The operator Password changed forgetful" in browser.text
    done = server.run("user", "password", "no-such-name", "--password-file", str(file))
    assert done.returncode == 1 and "user add" in done.stderr


def test_the_console_line_takes_no_password_as_a_word_and_asks_only_at_a_terminal(server: running.Server):
    done = server.run("user", "add", "ada", PASSWORD)
    assert done.returncode == 2
    done = server.run("user", "add", "ada")
    assert done.returncode == 1 and "--password-file" in done.stderr
    done = server.run("user", "add", "ada", "--password-file", str(server.folder / "nowhere"))
    assert done.returncode == 2 and "nowhere" in done.stderr
