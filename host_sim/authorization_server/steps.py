"""One step of a session: an answer is charged, judged, and leads on or does not.

Not for requests and replies (challenge_endpoint.py), and not for comparing (challenges/).
"""

from collections.abc import Mapping
from dataclasses import replace

from host_sim.authorization_server import attempts, challenges
from host_sim.authorization_server.accounts import normal_name
from host_sim.authorization_server.audit import audit_lock
from host_sim.authorization_server.challenges.contract import Asked, At, Outcome
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Session, Transaction
from host_sim.authorization_server.storage.rows import NOBODY

MAX_NAME = 64


def begin(services: Services, transaction: Transaction, session: Session, now_s: int) -> None:
    """Makes what must be there before the session's challenge is asked."""
    _challenge(session).begin(_at(services, transaction, session, now_s))


def ask(services: Services, transaction: Transaction, session: Session, now_s: int) -> Asked:
    """What the session's challenge asks now."""
    return _challenge(session).ask(_at(services, transaction, session, now_s))


def answers(services: Services, session: Session, fields: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a request that answer any challenge of the session."""
    asked = {name for challenge in session.challenges.split() for name in challenges.ALL[challenge].names(services.settings)}
    return {name: fields[name] for name in asked if name in fields}


def look(services: Services, transaction: Transaction, session: Session, now_s: int) -> str:
    """Whether a person has acted, where the session waits for that: "none", or "locked". Costs no attempt."""
    if session.locked:
        return "locked"
    at = _at(services, transaction, session, now_s)
    challenge = _challenge(session)
    if not challenge.names(services.settings):
        verdict = challenge.judge(at if not session.decoy else at.dead(), {})
        if verdict.outcome is Outcome.RIGHT:
            _pass(services, transaction, session, verdict.account, now_s)
    return "none"


def answer(services: Services, transaction: Transaction, session: Session, given: Mapping[str, str], now_s: int) -> str:
    """ "none" where the answer led on; else why it did not.

    Counted first; where nothing may be compared the same work is done and its outcome thrown away.
    """
    challenge, keys = _challenge(session), services.keys
    at = _at(services, transaction, session, now_s)
    if not {item["name"] for item in challenge.ask(at).inputs} & set(given):
        return look(services, transaction, session, now_s)  # said for another challenge, or another round
    claimed = normal_name(given.get(services.settings.username.name, ""))[:MAX_NAME] or session.claimed or ""
    if challenge.NAMES_ACCOUNT:
        transaction.claim(session.id, claimed)
        at = replace(at, who=transaction.prover(at.known) if at.known else transaction.prover_named(claimed))
    account = None if not challenge.NAMES_ACCOUNT else at.who.id if at.who.id != NOBODY else f"name {claimed}"
    attempt = attempts.charge(transaction, keys, session, account, at.who.id != NOBODY, now_s)
    dead = at.dead()
    verdict = challenge.judge(at if attempt.live else dead, given)
    if verdict.outcome is Outcome.RIGHT and attempt.live:
        attempts.give_back(transaction, keys, session, account)
        _pass(services, transaction, session, verdict.account, now_s)
        return "none"
    if verdict.outcome is Outcome.MORE and not session.locked:
        attempts.give_back(transaction, keys, session, account)
        return "none"
    locked = attempt.tries_left == 0
    challenge.void(at if locked else dead)
    to_lock = session.device if attempt.spent and session.asserted and not session.decoy else NOBODY
    audit_lock(transaction, to_lock, now_s)
    transaction.lock_device(to_lock, now_s)
    if session.decoy:
        return "unknown_device"
    return "locked" if locked or attempt.limited else verdict.outcome.value


def _pass(services: Services, transaction: Transaction, session: Session, account: str | None, now_s: int) -> None:
    transaction.pass_step(session.id, account, now_s, now_s + services.settings.session_ttl_s)
    session = again(transaction, session)
    if session.asking is None:
        attempts.end_row(transaction, services.keys, session, session.account)
    else:
        begin(services, transaction, session, now_s)


def again(transaction: Transaction, session: Session) -> Session:
    """The session as it stands now."""
    found = transaction.session(session.id)
    assert found is not None
    return found


def _challenge(session: Session):
    return challenges.ALL[session.asking or ""]


def _at(services: Services, transaction: Transaction, session: Session, now_s: int) -> At:
    known = None
    if _challenge(session).NAMES_ACCOUNT:
        owner = transaction.owner(session.device)
        known = session.account or (owner if session.asserted and not session.decoy else None)
    return At(transaction, services.keys, services.settings, session, now_s, known)
