"""The PIN that a person issues at the console for one device: 8 random digits and a Damm check digit.

Not for counting: the endpoint charges an attempt before `judge` compares. A PIN is known for as long as it takes to show it.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from host_sim.authorization_server.challenges.contract import Asked, At, Outcome, Verdict
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Pin, Session, Transaction
from host_sim.authorization_server.storage.rows import NOBODY
from latchpin.wire.check_digit import damm

if TYPE_CHECKING:
    from host_sim.authorization_server.settings import Settings

NAME = "pin"
NAMES_ACCOUNT = False
DIGITS = 8

_WRONG, _EXPIRED = Verdict(Outcome.WRONG), Verdict(Outcome.EXPIRED)
_MESSAGE = "Ask for a PIN for this device"
_INPUTS = [{"name": NAME, "kind": "digits", "min": DIGITS + 1, "max": DIGITS + 1, "check": "damm", "label": "PIN"}]


def issue(transaction: Transaction, keys: Keys, holder: str, device: str, expires: int, account: str | None = None) -> str:
    """A new PIN, good until `expires`; an older one of this holder is void. Its keyed hash is all that stays.

    holder: the id of the session that it is for, or in_advance(device). account: who issues it.
    """
    digits = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
    pin = digits + damm(digits)
    transaction.set_pin(Pin(holder, _digest(keys, holder, device, pin), expires, account))
    return pin


def in_advance(device: str) -> str:
    """The holder of a PIN for the first session in which this device asks."""
    return "device/" + device


def expires(transaction: Transaction, session: Session) -> int | None:
    """Until when the PIN of this session is good; None where none was issued."""
    return transaction.last_expiry(*_holders(session, True)) or None


def names(settings: "Settings") -> set[str]:
    return {NAME}


def begin(at: At) -> None:
    pass


def ask(at: At) -> Asked:
    return Asked(_INPUTS, _MESSAGE, expires(at.transaction, at.session) if at.session.asserted else None)


def judge(at: At, answers: Mapping[str, str]) -> Verdict:
    """Compares in constant time, and does the same work where no PIN was issued."""
    verdict = _WRONG
    for holder in _holders(at.session, at.live):
        issued = at.transaction.pin(holder)
        digest = _digest(at.keys, holder, at.session.device, answers.get(NAME, ""))
        equal = hmac.compare_digest(digest, issued.digest)
        if issued.issued and at.now_s >= issued.expires:
            verdict = _EXPIRED
        elif issued.issued and equal:
            void(at)
            return Verdict(Outcome.RIGHT, issued.account)
        elif issued.issued:
            verdict = _WRONG
    return verdict


def void(at: At) -> None:
    for holder in _holders(at.session, at.live):
        at.transaction.void_pin(holder)


def _holders(session: Session, live: bool) -> tuple[str, str]:
    # What a public client claims as its device is vouched for by nobody, so a PIN for that device is not for it.
    one, other = session.id, in_advance(session.device) if session.asserted else NOBODY
    beside = one[:-1] + "~", other[:-1] + "~"  # nobody is called so: as long, and at the same place of the index
    return (one, other) if live else beside


def _digest(keys: Keys, holder: str, device: str, pin: str) -> bytes:
    return keys.keyed_hash("pin", holder, device, pin)
