"""The device shows a code and a binding word, and a signed-in person approves the code in the console.

Not for typing at the device, and not for who may approve: that is the console's business. The device looks again and again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from host_sim.authorization_server import user_codes
from host_sim.authorization_server.challenges.contract import Asked, At, Outcome, Verdict
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Session, Transaction
from host_sim.authorization_server.storage.rows import NOBODY

if TYPE_CHECKING:
    from host_sim.authorization_server.settings import Settings

NAME = "pairing_code"
NAMES_ACCOUNT = False
RETRY_S = 5


def find(transaction: Transaction, keys: Keys, typed: str, now_s: int) -> Session | None:
    """The live session that shows this code, or None. Whoever offers this to strangers limits them first."""
    session = transaction.session_showing(_digest(keys, user_codes.normal(typed)), now_s)
    return session if session and session.asking == NAME and not session.decoy else None


def approve(transaction: Transaction, session: Session, account: str | None) -> None:
    """The session passes when its device looks next. account: who approves, where an account stands behind it."""
    transaction.approve(session.id, account)


def names(settings: "Settings") -> set[str]:
    return set()


def begin(at: At) -> None:
    at.transaction.show_code(at.session.id, _digest(at.keys, _code(at)))


def ask(at: At) -> Asked:
    code = _code(at)
    message = f"Approve {code} at {at.settings.issuer}"
    return Asked([], message[:160], user_code=code, retry_after_s=RETRY_S)


def judge(at: At, answers: Mapping[str, str]) -> Verdict:
    approved, account = at.transaction.approval(at.session.id if at.live else NOBODY)
    return Verdict(Outcome.RIGHT if approved else Outcome.WAITING, account)


def void(at: At) -> None:
    pass


def _code(at: At) -> str:
    # A function of its session: shown again and again, and only its keyed hash is kept.
    return user_codes.of(at.keys.keyed_hash("pairing code", at.session.id, str(at.session.step)))


def _digest(keys: Keys, code: str) -> bytes:
    return keys.keyed_hash("pairing code shown", code)
