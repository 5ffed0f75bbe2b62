"""A challenge session against a model of it, whatever comes in whatever order: hypothesis drives, the real endpoint answers.

Not HTTP, and not several at once: test_guessing.py has fifty in parallel.
"""

import itertools
from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from host_sim.authorization_server import admin, challenges
from host_sim.authorization_server.admin import AdminError
from host_sim.authorization_server.challenges.contract import At, Outcome, Verdict
from host_sim.authorization_server.storage import MAX_TRIES, Account
from host_sim.authorization_server.storage.proving import MAX_FAILURES_A_DAY
from tests.authorization_server.direct import ADA, START, Asker, Direct, open_direct
from tests.authorization_server.parties import wrong_pin
from tests.authorization_server.test_otp import Authenticator
from tests.requirements import proves

SEQUENCE = ["knowledge", "otp", "pin"]
ROUNDS = [("knowledge", ["username", "name", "birth_date"]), ("knowledge", ["last_four"]), ("otp", ["otp"]), ("pin", ["pin"])]
DONE = len(ROUNDS)
# At most 25 x 6 requests, for a session has 200. What fails is shown as it failed: to shrink it took five minutes.
LIMITS = settings(max_examples=150, stateful_step_count=25, deadline=None, database=None, phases=[Phase.generate])


class Counted:
    """A challenge that counts the wrong answers which it was allowed to compare, by session."""

    def __init__(self, challenge: ModuleType, compared: Counter[str]) -> None:
        self._challenge, self._compared = challenge, compared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._challenge, name)

    def judge(self, at: At, answers: dict[str, str]) -> Verdict:
        verdict = self._challenge.judge(at, answers)
        self._compared[at.session.id] += at.live and verdict.outcome in (Outcome.WRONG, Outcome.EXPIRED)
        return verdict


class Sessions(RuleBasedStateMachine):
    """The model: `at` is how many rounds are passed, `tries` what the session has left, `failures` what stands against whom."""

    direct: Direct
    compared: Counter[str]
    numbers = itertools.count(1)

    @initialize()
    def begin(self) -> None:
        number = next(self.numbers)
        self.name = f"person-{number}"
        with self.direct.transaction() as transaction:
            transaction.add_account(Account(f"ac-{number}", self.name, "no password", START))
        admin.enrol_knowledge(self.direct.services, self.name, ADA)
        self.authenticator = Authenticator(admin.enrol_otp(self.direct.services, self.name))
        self.asker = Asker(self.direct, f"lp-{number}")
        self.seen: set[str] = set()
        self.failures = Counter[str]()
        self.device_locked = False
        self.start()

    @precondition(lambda self: self.at in (0, DONE) or not self.tries)
    @rule()
    def start_again(self) -> None:
        self.start()

    def start(self) -> None:
        self.asker.start()
        self.compared.clear()
        self.at, self.spoiled, self.pin = 0, False, ""
        self.tries = 0 if self.device_locked or self.failures["device"] >= MAX_FAILURES_A_DAY else MAX_TRIES
        self.older: list[str] = []
        self.check("locked" if not self.tries else "none")

    @rule(times=st.integers(1, DONE + 1))
    def answer_right(self, times: int) -> None:
        for _ in range(times):
            if self.at < DONE and ROUNDS[self.at][0] == "pin" and not self.pin:
                self.a_person_issues_a_pin()
            elif self.at < DONE:
                self.direct.clock_s += 30  # a one-time password is good once
                self.give(self.right(), right=True)

    @rule(times=st.integers(1, MAX_TRIES + 1))
    def answer_wrong(self, times: int) -> None:
        wrong = {
            "username": self.name,
            "name": "Grace",
            "last_four": "0000",
            "otp": "wrong!",
            "pin": wrong_pin(self.pin or "1" * 9),
        }
        for _ in range(times if self.at < DONE else 0):
            self.give({name: wrong[name] for name in ROUNDS[self.at][1] if name in wrong}, right=False)

    @rule()
    def ask_where_it_stands(self) -> None:
        self.follow()
        self.check("locked" if not self.tries and self.at < DONE else "none")

    @precondition(lambda self: self.at < DONE)
    @rule(other=st.sampled_from(["name", "last_four", "otp", "pin"]))
    def answer_another_round(self, other: str) -> None:
        if other not in ROUNDS[self.at][1]:
            self.follow(**{other: "1"})
            self.check("locked" if not self.tries else "none")

    @precondition(lambda self: self.older)
    @rule(data=st.data())
    def answer_with_an_older_auth_session(self, data: st.DataObject) -> None:
        older = data.draw(st.sampled_from(self.older))
        newest = self.asker.auth_session
        assert self.asker.follow(auth_session=older, **self.right())["error"] == "invalid_session"
        assert self.asker.auth_session == newest

    @precondition(lambda self: self.at < DONE and ROUNDS[self.at][0] == "pin")
    @rule()
    def a_person_issues_a_pin(self) -> None:
        if self.failures["device"] >= MAX_FAILURES_A_DAY:
            with pytest.raises(AdminError, match="too many wrong answers"):
                admin.issue_pin(self.direct.services, self.asker.device)
            return
        self.pin = admin.issue_pin(self.direct.services, self.asker.device)["pin"]
        if not self.tries:
            self.unlocked()

    @rule()
    def a_person_unlocks(self) -> None:
        if self.device_locked or not self.tries or self.failures["device"]:
            admin.unlock(self.direct.services, self.asker.device)
            self.failures["device"] = 0
            if not self.tries:
                self.unlocked()
            self.device_locked = False

    @invariant()
    def no_more_than_five_wrong_answers_were_compared(self) -> None:
        assert max(self.compared.values(), default=0) <= MAX_TRIES

    # What the rules share.

    def right(self) -> dict[str, str]:
        shown = self.authenticator.shows(self.direct.clock_s)
        right = {"username": self.name, **ADA, "otp": shown, "pin": self.pin}
        return {name: right[name] for name in (ROUNDS[self.at][1] if self.at < DONE else ["pin"])}

    def give(self, answers: dict[str, str], right: bool) -> None:
        challenge = ROUNDS[self.at][0]
        last_round = self.at + 1 == DONE or ROUNDS[self.at + 1][0] != challenge
        subjects = ["device"] if challenge == "pin" else ["device", "account"]
        limited = any(self.failures[subject] >= MAX_FAILURES_A_DAY for subject in subjects)
        self.follow(**answers)
        if not self.tries:
            self.failures.update(subjects)
            self.fail()
            self.check("locked")
        elif not last_round:
            self.spoiled = self.spoiled or not right or limited
            self.at += 1
            self.check("none")
        elif right and not self.spoiled and not limited:
            self.at += 1
            self.check("none")
        else:
            self.failures.update(subjects)
            self.tries -= 1
            self.fail()
            self.device_locked = self.device_locked or not self.tries
            self.pin = self.pin if self.tries else ""
            self.check("locked" if limited or not self.tries else "wrong_answer")

    def fail(self) -> None:
        """Back to the first round of the challenge."""
        self.at = [name for name, _ in ROUNDS].index(ROUNDS[self.at][0])
        self.spoiled = False

    def follow(self, **answers: str) -> None:
        self.older.append(self.asker.auth_session)
        self.asker.follow(**answers)

    def check(self, reason: str) -> None:
        said = self.asker.said
        assert self.asker.auth_session not in self.seen  # it rotates
        self.seen.add(self.asker.auth_session)
        assert ("authorization_code" in said) == (self.at == DONE), said
        if self.at < DONE:
            asked = [name for name in ROUNDS[self.at][1] if name != "username" or "username" in self.asker.asked]
            assert (self.asker.asked, said["reason"], said["tries_left"]) == (asked, reason, self.tries)

    def unlocked(self) -> None:
        self.tries, self.device_locked = MAX_TRIES, False
        self.compared.clear()


@proves("PROTOCOL-5-a", "PROTOCOL-5-c", "PROTOCOL-5-e")
def test_a_session_does_what_its_model_does(tmp_path, monkeypatch):
    compared = Counter[str]()
    for name in SEQUENCE:
        monkeypatch.setitem(challenges.ALL, name, Counted(challenges.ALL[name], compared))
    with open_direct(tmp_path, policy=[{"challenges": SEQUENCE}], session_ttl_s=3600, pin_ttl_s=3600) as direct:
        machine = type("Machine", (Sessions,), {"direct": direct, "compared": compared})
        run_state_machine_as_test(machine, settings=LIMITS)
