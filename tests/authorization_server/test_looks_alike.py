"""Unknown device, unknown account, wrong, expired and locked: the same status, members and size, after the same work.

Not their time, which is measured: tests/benchmarks/guessing.py. Work is counted here: statements in order, and keyed hashes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from host_sim.authorization_server import admin
from host_sim.authorization_server.keys import Keys
from tests.authorization_server import running
from tests.authorization_server.direct import ADA, Asker, Direct, open_direct
from tests.requirements import proves

_VALUES = re.compile(r"'[^']*'|\b[xX]'[0-9a-fA-F]*'|\b\d+\b|\bNULL\b")
CLIENTS = [running.BRIDGE, running.BEARER_APP]
WRONG_PIN = {"pin": "123456782"}


class CountingKeys(Keys):
    """The keys of the AS, which count what is hashed with them."""

    hashes = 0

    def keyed_hash(self, purpose: str, *parts: str) -> bytes:
        self.hashes += 1
        return super().keyed_hash(purpose, *parts)


class Work:
    """What the requests of a `with` did, and what they answered."""

    def __init__(self, direct: Direct) -> None:
        self.keys = CountingKeys(direct.services.settings.state)
        direct.services = replace(direct.services, keys=self.keys)
        direct.endpoint = type(direct.endpoint)(direct.services)
        self._now_s, self._storage = direct.services.now_s, direct.services.storage
        self.connection: Any = self._storage._connection

    @contextmanager
    def of(self, asker: Asker, found: set[tuple]) -> Iterator[None]:
        self._storage.prune(self._now_s())  # which comes by time and not by request
        statements: list[str] = []
        hashes = self.keys.hashes
        self.connection.set_trace_callback(lambda statement: statements.append(_VALUES.sub("?", statement)))
        try:
            yield
        finally:
            self.connection.set_trace_callback(None)
        assert len(statements) > 5
        found.add((asker.status, tuple(asker.said), asker.size, self.keys.hashes - hashes, *statements))


def assert_one(found: set[tuple]) -> None:
    for one in zip_longest(*found):
        assert len(set(one)) == 1, one


def locked(direct: Direct, asker: Asker, answers: dict[str, str]) -> None:
    asker.start()
    for _ in range(5):
        asker.follow(**answers)


def issue(direct: Direct, asker: Asker) -> None:
    name = asker.device if asker.client == running.BRIDGE else f"{asker.client}/{asker.device}"
    admin.issue_pin(direct.services, name, asker.said["binding_word"])


def expired(direct: Direct, asker: Asker, answers: dict[str, str]) -> None:
    asker.start()
    issue(direct, asker)
    direct.clock_s += direct.services.settings.pin_ttl_s


def issued(direct: Direct, asker: Asker, answers: dict[str, str]) -> None:
    asker.start()
    issue(direct, asker)


def started(direct: Direct, asker: Asker, answers: dict[str, str]) -> None:
    asker.start()


def limited(direct: Direct, asker: Asker, answers: dict[str, str]) -> None:
    """Twenty wrong answers of today stand against the account, or against the device where no account is named."""
    for number in range(4):
        other = Asker(direct, f"lp-other-{number}", asker.client)
        other.start()
        for _ in range(5):
            other.follow(**answers)
    asker.start()


Situation = Callable[[Direct, Asker, dict[str, str]], None]


@pytest.fixture
def direct(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Direct]:
    devices = ["lp-known", *(f"lp-other-{number}" for number in range(4))]
    with open_direct(tmp_path, policy=[{"challenges": [request.param]}], devices=devices) as opened:
        opened.account("ada", **ADA)
        opened.account("grace")
        admin.enrol_otp(opened.services, "ada")
        yield opened


@proves("PROTOCOL-5-d", "FIPA-9.3-a")
@pytest.mark.parametrize("direct", ["pin"], indirect=True)
@pytest.mark.parametrize("client", CLIENTS)
def test_answers_to_a_pin_cost_the_same_and_look_alike(direct, client):
    work, found = Work(direct), set()
    situations: list[Situation] = [started, issued, expired, locked]
    for situation in situations:
        asker = Asker(direct, "lp-known", client)
        situation(direct, asker, WRONG_PIN)
        with work.of(asker, found):
            asker.follow(**WRONG_PIN)

    stranger = Asker(direct, "lp-nobody", client)
    stranger.start()
    with work.of(stranger, found):
        stranger.follow(**WRONG_PIN)
    assert_one(found)


@proves("PROTOCOL-5-d", "FIPA-9.3-a")
@pytest.mark.parametrize("direct", ["otp", "knowledge"], indirect=True)
@pytest.mark.parametrize("client", CLIENTS)
def test_answers_about_an_account_cost_the_same_and_look_alike(direct, client, request):
    work = Work(direct)
    rounds = {
        "otp": [{"otp": "000000"}],
        "knowledge": [{"name": "Grace", "birth_date": "19061209"}, {"last_four": "1906"}],
    }[request.node.callspec.params["direct"]]
    found: list[set[tuple]] = [set() for _ in rounds]
    for device, username, situation in (
        ("lp-known", "ada", started),
        ("lp-known", "grace", started),
        ("lp-known", "nobody", started),
        ("lp-nobody", "ada", started),
        ("lp-nobody", "nobody", started),
        ("lp-known", "ada", limited),
        ("lp-known", "nobody", limited),
    ):
        asker = Asker(direct, device, client)
        situation(direct, asker, {"username": username, **{name: text for fields in rounds for name, text in fields.items()}})
        for answers, seen in zip(rounds, found, strict=True):
            named = {"username": username} if answers is rounds[0] else {}
            with work.of(asker, seen):
                asker.follow(**named, **answers)
        assert asker.said["tries_left"] == 4
    for seen in found:
        assert_one(seen)


@proves("PROTOCOL-5-d")
@pytest.mark.parametrize("direct", ["pin", "otp", "knowledge", "pairing_code"], indirect=True)
def test_first_requests_of_known_unknown_and_locked_devices_cost_the_same_and_look_alike(direct):
    work, found = Work(direct), set()
    for device in ("lp-known", "lp-nobody", "lp-other-0"):
        asker = Asker(direct, device)
        if device == "lp-other-0":
            with direct.transaction() as transaction:
                transaction.see_device(device, "x", 0)
                transaction.lock_device(device, 1)
        with work.of(asker, found):
            asker.start()
    assert_one(found)
