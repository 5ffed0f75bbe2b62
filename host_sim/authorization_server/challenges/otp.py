"""A time-based one-time password from a person's authenticator (TOTP, RFC 6238).

Not for other second factors. A secret is never kept: it is derived from the pepper (RFC 4226, section 7.5).
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from host_sim.authorization_server.challenges.contract import Asked, At, Outcome, Verdict
from host_sim.authorization_server.keys import Keys
from host_sim.authorization_server.storage import Account, Transaction
from host_sim.authorization_server.storage.rows import NOBODY

if TYPE_CHECKING:
    from host_sim.authorization_server.settings import Settings

NAME = "otp"
NAMES_ACCOUNT = True
DIGITS = 6
STEP_S = 30
DRIFT_STEPS = 1  # RFC 6238, section 5.2

_INPUT = {"name": NAME, "kind": "digits", "min": DIGITS, "max": DIGITS, "check": "none", "label": "One-time code"}
_NOT_ENROLLED = bytes(16)


def enrol(transaction: Transaction, keys: Keys, account: Account, issuer: str) -> str:
    """The otpauth URI for the person's authenticator, known only here and now; an older one of this account is void."""
    seed = secrets.token_bytes(16)
    transaction.set_otp(account.id, seed)
    return _totp(_secret(keys, account.id, seed)).get_provisioning_uri(account.name, issuer)


def value(secret: bytes, at_s: int, digits: int = DIGITS, algorithm: SHA1 | SHA256 | SHA512 | None = None) -> str:
    """RFC 6238, section 4.2."""
    return _totp(secret, digits, algorithm).generate(at_s).decode()


def names(settings: "Settings") -> set[str]:
    return {settings.username.name, NAME}


def begin(at: At) -> None:
    pass


def ask(at: At) -> Asked:
    if at.known:
        return Asked([_INPUT], "Ask the owner for a one-time code")
    return Asked([at.settings.username.asked(), _INPUT], "Who is it, and what does the authenticator show?")


def judge(at: At, answers: Mapping[str, str]) -> Verdict:
    """A step is good once (RFC 6238, section 5.2), and so is none before it."""
    seed = at.who.totp
    secret, typed = _secret(at.keys, at.who.id, seed or _NOT_ENROLLED), answers.get(NAME, "").encode()
    used = -1
    for step in range(at.now_s // STEP_S - DRIFT_STEPS, at.now_s // STEP_S + DRIFT_STEPS + 1):
        if hmac.compare_digest(value(secret, step * STEP_S).encode(), typed):
            used = step
    fresh = seed is not None and used > at.who.totp_step
    first = at.transaction.use_otp_step(at.who.id if fresh else NOBODY, used)
    return Verdict(Outcome.RIGHT, at.who.id) if first else Verdict(Outcome.WRONG)


def void(at: At) -> None:
    pass


def _secret(keys: Keys, account: str, seed: bytes) -> bytes:
    return keys.keyed_hash("totp", account, seed.hex())[:20]  # RFC 4226, section 4, R6: 160 bits


def _totp(secret: bytes, digits: int = DIGITS, algorithm: SHA1 | SHA256 | SHA512 | None = None) -> TOTP:
    # SHA-1 is what authenticators know without being told, and in HMAC it stands.
    return TOTP(secret, digits, algorithm or SHA1(), STEP_S)  # noqa: S303
