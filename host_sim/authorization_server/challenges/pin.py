"""The PIN that a person issues at the console for one waiting device: 8 random digits and a Damm check digit.

Not for counting: the endpoint charges an attempt before `judge` compares. A PIN is known for as long as it takes to show it.
"""

import hmac
import secrets
from collections.abc import Mapping

from host_sim.authorization_server.challenges.outcome import Outcome
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Pin, Session, Transaction
from latchpin.wire.check_digit import damm

NAME = "pin"
DIGITS = 8
MESSAGE = "Ask for a PIN for this device"
INPUTS = [{"name": NAME, "kind": "digits", "min": DIGITS + 1, "max": DIGITS + 1, "check": "damm", "label": "PIN"}]

_NOTHING_ISSUED = bytes(32)  # no keyed hash is ever compared equal to it: `judge` asks for a row as well


def issue(transaction: Transaction, keys: Keys, session: Session, expires: int) -> str:
    """A new PIN for this session, good until `expires`; an older one is void. Its keyed hash is all that stays."""
    digits = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
    pin = digits + damm(digits)
    transaction.set_pin(Pin(session.id, _digest(keys, session, pin), expires))
    return pin


def judge(transaction: Transaction, keys: Keys, session: Session, answers: Mapping[str, str], now_s: int) -> Outcome:
    """Compares in constant time, and does the same work where no PIN was issued."""
    issued = transaction.pin(session.id)
    equal = hmac.compare_digest(_digest(keys, session, answers.get("pin", "")), issued.digest if issued else _NOTHING_ISSUED)
    if issued and now_s >= issued.expires:
        return Outcome.EXPIRED
    if issued and equal:
        transaction.void_pin(session.id)
        return Outcome.RIGHT
    return Outcome.WRONG


def expires(transaction: Transaction, session: Session) -> int | None:
    issued = transaction.pin(session.id)
    return issued.expires if issued else None


def _digest(keys: Keys, session: Session, pin: str) -> bytes:
    return keys.keyed_hash("pin", session.id, session.device, pin)
