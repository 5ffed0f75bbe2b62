"""What an answer costs: it is counted per session, device and account before anybody compares it.

Not for comparing (challenges/), and never per address: all devices share the bridge's.
"""

from dataclasses import dataclass

from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Session, Transaction


@dataclass(frozen=True)
class Attempt:
    """`tries_left` of the session after it; `spent` was the last of them. Not `live`: the answer is wrong whatever it says."""

    tries_left: int
    spent: bool
    live: bool
    limited: bool  # by failures of the device or the account, whatever the session has left


def charge(transaction: Transaction, keys: Keys, session: Session, account: str | None, is_account: bool, now_s: int) -> Attempt:
    """Counts one answer, whether device and account exist or not. account: None where the challenge is not about one."""
    tries_left = transaction.charge_attempt(session.id)
    exist = (session.asserted and not session.decoy, is_account)
    subjects = _subjects(keys, session.device, account)
    within = [transaction.charge_subject(subject, known, now_s) for subject, known in zip(subjects, exist, strict=False)]
    live = tries_left is not None and all(within) and not session.decoy
    return Attempt(tries_left or 0, tries_left == 0, live, not all(within))


def give_back(transaction: Transaction, keys: Keys, session: Session, account: str | None) -> None:
    """The answer was right, or nothing was compared yet. Other failures stay."""
    transaction.give_back_attempt(session.id)
    for subject in _subjects(keys, session.device, account):
        transaction.give_back_subject(subject)


def end_row(transaction: Transaction, keys: Keys, session: Session, account: str | None) -> None:
    """All challenges of the session are passed: failures in a row count from zero again, those of the day do not."""
    for subject in _subjects(keys, session.device, account):
        transaction.end_failures_in_a_row(subject)


def is_limited(transaction: Transaction, keys: Keys, device: str, now_s: int) -> bool:
    """Too many wrong answers for this device, today or in a row."""
    return transaction.is_limited(_subjects(keys, device, None)[0], now_s)


def forget(transaction: Transaction, keys: Keys, device: str | None = None, account: str | None = None) -> bool:
    """A person acted: all failures count from zero again. False: there were none."""
    return any([transaction.forget_failures(subject) for subject in _subjects(keys, device, account)])


def _subjects(keys: Keys, device: str | None, account: str | None) -> list[bytes]:
    named = (("device", device), ("account", account))
    return [keys.keyed_hash("failures", kind, name) for kind, name in named if name is not None]
