"""What the time of a refusal tells: wrong, expired, locked, limited, unknown device, unknown account, answer by answer.

Not the rest of the likeness, which tests hold: tests/authorization_server/test_looks_alike.py. Over HTTPS on loopback, one
connection, the AS in a process of its own.
"""

import http.client
import json
import math
import random
import secrets
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from host_sim.authorization_server import attempts
from host_sim.authorization_server.challenges import otp, pin
from host_sim.authorization_server.services import Services, open_services
from host_sim.authorization_server.settings import load
from host_sim.authorization_server.storage import Account, Session, Transaction
from tests.authorization_server import running
from tests.authorization_server.parties import basic, verifier_and_challenge
from tests.benchmarks import report

SAMPLES = 10_000
A_SESSION = 4  # answers: the fifth would lock it
KEPT = 0.9  # of the samples, where those are left out that the machine delayed

_HEADERS = {
    "Authorization": basic(running.BRIDGE, running.BRIDGE_SECRET),
    "Content-Type": "application/x-www-form-urlencoded",
}

_TS = ("t_seen", "t_seen_quickest", "t_on_core", "t_on_core_quickest")

Prepare = Callable[[Services, Transaction, Session, str], None]


class Situation(NamedTuple):
    """`challenge` is asked; `prepare` makes it what it is. `unknown`: there is no such "device" or "account", whose name is among
    the names of those that there are."""

    name: str
    challenge: str
    prepare: Prepare
    unknown: str = ""


def _nothing(services: Services, transaction: Transaction, session: Session, account: str) -> None:
    pass


def _issue(services: Services, transaction: Transaction, session: Session, account: str) -> None:
    pin.issue(transaction, services.keys, session.id, session.device, session.expires)


def _expire(services: Services, transaction: Transaction, session: Session, account: str) -> None:
    pin.issue(transaction, services.keys, session.id, session.device, session.created - 1)


def _lock(services: Services, transaction: Transaction, session: Session, account: str) -> None:
    for _ in range(5):
        transaction.charge_attempt(session.id)


def _limit(services: Services, transaction: Transaction, session: Session, account: str) -> None:
    for _ in range(20):
        transaction.charge_subject(attempts._subjects(services.keys, None, account)[0], True, services.now_s())


SITUATIONS = [
    Situation("wrong PIN", "pin", _issue),
    Situation("expired PIN", "pin", _expire),
    Situation("no PIN issued", "pin", _nothing),
    Situation("locked session", "pin", _lock),
    Situation("unknown device", "pin", _nothing, unknown="device"),
    Situation("wrong one-time code", "otp", _nothing),
    Situation("account of 20 failures", "otp", _limit),
    Situation("locked session", "otp", _lock),
    Situation("unknown account", "otp", _nothing, unknown="account"),
    Situation("unknown device", "otp", _nothing, unknown="device"),
]


class Taken(NamedTuple):
    """Microseconds of one answer: as seen by the caller, and of the server's process on a core (Linux tells; else 0)."""

    seen: float
    on_core: float


class Caller:
    """One kept connection to the AS."""

    def __init__(self, server: running.Server) -> None:
        self._threads = Path(f"/proc/{server.process.pid}/task")
        context = ssl.create_default_context(cafile=str(server.ca))
        self._link = http.client.HTTPSConnection("localhost", int(server.issuer.rpartition(":")[2]), context=context)

    def ask(self, fields: dict[str, str]) -> tuple[Taken, dict[str, Any]]:
        body = urlencode(fields)
        on_core, began = self._on_core_ns(), time.perf_counter_ns()
        self._link.request("POST", "/challenge", body, _HEADERS)
        answered = self._link.getresponse()
        text = answered.read()
        seen = time.perf_counter_ns() - began
        assert answered.status == 403, text
        return Taken(seen / 1000, (self._on_core_ns() - on_core) / 1000), json.loads(text)

    def _on_core_ns(self) -> int:
        files = self._threads.glob("*/schedstat") if self._threads.is_dir() else ()
        return sum(int(file.read_text().split()[0]) for file in files)


class Guesser:
    """One session in one situation, and its answers."""

    def __init__(self, number: int, situation: Situation, caller: Caller, services: Services) -> None:
        self.situation, self._caller = situation, caller
        account = f"ac-{number:06}"
        self._answers = {"pin": {"pin": "123456782"}, "otp": {"username": f"ac{number:06}", "otp": "123456"}}
        fields = {"response_type": "code", "scope": "led:read", "resource": running.RESOURCE}
        fields["device_id"] = _device(number, situation)
        fields |= {"code_challenge": verifier_and_challenge()[1], "code_challenge_method": "S256"}
        _, said = caller.ask(fields)
        self._auth_session = said["auth_session"]
        with services.storage.transaction() as transaction:
            if situation.challenge == "otp" and situation.unknown != "account":
                row = Account(account, f"ac{number:06}", "no password", services.now_s())
                transaction.add_account(row)
                otp.enrol(transaction, services.keys, row, "bench")
            session = transaction.session_by_handle(services.keys.keyed_hash("auth_session", self._auth_session))
            assert session is not None
            situation.prepare(services, transaction, session, account)

    def guess(self) -> Taken:
        taken, said = self._caller.ask({"auth_session": self._auth_session, **self._answers[self.situation.challenge]})
        self._auth_session = said["auth_session"]
        return taken


def welch(one: list[float], other: list[float]) -> float:
    """Welch's t of two samples."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


def _device(number: int, situation: Situation) -> str:
    return f"lp-{situation.challenge}-{number:06}"


def _kept(samples: list[float]) -> list[float]:
    return sorted(samples)[: int(len(samples) * KEPT)]


def _measure(folder: Path, samples: int) -> list[list[Taken]]:
    sessions = samples // A_SESSION
    order = [number % len(SITUATIONS) for number in range(sessions * len(SITUATIONS))]
    random.Random(secrets.randbits(64)).shuffle(order)
    every = [(number, SITUATIONS[which]) for number, which in enumerate(order)]
    settings: dict[str, Any] = {
        "log_level": "warning",
        "session_ttl_s": 3600,
        "devices": [_device(number, situation) for number, situation in every if situation.unknown != "device"],
        "clients": [{"id": running.BRIDGE, "secret": running.BRIDGE_SECRET, "dpop_bound_access_tokens": False}],
        "policy": [{"device": "*-otp-*", "challenges": ["otp"]}, {"challenges": ["pin"]}],
    }
    taken: list[list[Taken]] = [[] for _ in SITUATIONS]
    with running.server(folder, **settings) as server:
        services = open_services(load(server.config, {}))
        caller = Caller(server)
        guessers = [(which, Guesser(number, SITUATIONS[which], caller, services)) for number, which in enumerate(order)]
        for _ in range(A_SESSION):
            random.shuffle(guessers)
            for which, guesser in guessers:
                taken[which].append(guesser.guess())
        services.storage.close()
    return taken


def run(quick: bool) -> dict[str, Any]:
    """Prints a table and returns its figures."""
    with tempfile.TemporaryDirectory(prefix="latchpin-bench-") as folder:
        taken = _measure(Path(folder), 200 if quick else SAMPLES)
    figures, rows = [], []
    for situation, samples in zip(SITUATIONS, taken, strict=True):
        first = next(index for index, one in enumerate(SITUATIONS) if one.challenge == situation.challenge)
        figure: dict[str, Any] = {"challenge": situation.challenge, "name": situation.name}
        for number, kind in enumerate(Taken._fields):
            mine, against = ([one[number] for one in each] for each in (samples, taken[first]))
            figure[f"{kind}_us"] = statistics.median(mine)
            if samples is not taken[first]:
                figure[f"t_{kind}"] = welch(mine, against)
                figure[f"t_{kind}_quickest"] = welch(_kept(mine), _kept(against))
        ts = [f"{figure[name]:.1f}" if name in figure else "-" for name in _TS]
        rows.append(
            (
                f"{situation.challenge}: {situation.name}",
                f"{figure['seen_us']:.0f}",
                *ts[:2],
                f"{figure['on_core_us']:.0f}",
                *ts[2:],
            )
        )
        figures.append(figure)
    report.table(
        f"AS: what the time of a refusal tells, {len(taken[0])} answers each: Welch's t against the first of its challenge",
        ("the answer meets", "median seen, us", "t", "t quickest", "on a core, us", "t", "t quickest"),
        rows,
        (
            "4.5 would tell (TVLA's limit); quickest: of the quickest nine tenths of each, without what the machine delayed",
            f"one connection over HTTPS on loopback, situations shuffled, each session answered {A_SESSION} times",
            "on a core: what the server's threads ran meanwhile, by the kernel's count; hardly a neighbour's load is in it",
        ),
    )
    return {"situations": figures}
