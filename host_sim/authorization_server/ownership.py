"""Whose a device is, and what its owner may do with it: see it wait, issue a PIN, refuse, rename, revoke, unpair, hand it on.

Not for pages, and not for the operator at the console line, who owns nothing and sees everything: admin.py.
"""

from dataclasses import dataclass

from authlib.oauth2.rfc6749 import AccessDeniedError

from broker_bridge import logs
from host_sim.authorization_server import admin
from host_sim.authorization_server.accounts import normal_name
from host_sim.authorization_server.admin import AdminError
from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.challenges import pairing_code, pin
from host_sim.authorization_server.services import Services
from host_sim.authorization_server.storage import Account, Device, Family, Session, Transaction, Transfer

OFFER_S = 7 * 86400
CODE_TRIES = 10  # of one account,
CODE_WINDOW_S = 15 * 60  # in this time from the first on; a right code clears them
_GONE = "this device does not wait any more: let it ask again"
_NOT_YOURS = "no device of yours has this id: look at your list"


@dataclass(frozen=True)
class Waiting:
    """A session that waits for a person. `device`: what is known of the device that it asks for, if a client vouches for it."""

    session: Session
    device: Device | None
    pin_expires: int | None  # of a PIN that was issued and is still good
    approved: bool  # and it has not looked yet


@dataclass(frozen=True)
class Owned:
    """A device, what it holds at present, and to whom it is offered."""

    device: Device
    families: list[Family]
    transfer: Transfer | None

    @property
    def scopes(self) -> list[str]:
        return sorted({scope for family in self.families for scope in family.scope.split()})


@dataclass(frozen=True)
class Offer:
    device: Device
    giver: str  # the account's name
    expires: int


# Who waits


def may_see(transaction: Transaction, account: Account, session: Session) -> bool:
    """A waiting device shows itself to its owner; one without an owner to everybody, until somebody lets it in."""
    device = _asserted(transaction, session)
    if device is not None and device.owner is not None:
        return device.owner == account.id
    issued = transaction.pin(session.id)
    _, approver = transaction.approval(session.id)
    return (issued.account if issued.issued else approver or session.account) in (None, account.id)


def waiting(services: Services, account: Account) -> list[Waiting]:
    """Those whom this account may let in, oldest first."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        sessions = [session for session in transaction.waiting(now_s) if may_see(transaction, account, session)]
        return [_waiting(transaction, session, now_s) for session in sessions]


def outcome(services: Services, account: Account, session: str) -> tuple[str, Waiting | None]:
    """("waits" | "paired" | "refused" | "over", who waits), for a session that this account may see or let in."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        found = transaction.session(session)
        if found is None or found.expires <= now_s or not may_see(transaction, account, found):
            return "over", None
        state = "refused" if found.refused else "waits" if found.asking else "paired"
        return state, _waiting(transaction, found, now_s)


def issue_pin(services: Services, account: Account, session: str) -> tuple[str, Session]:
    """A PIN that lets this session in, in the name of `account`. Raises AdminError: not_waiting, limited."""
    with services.storage.transaction() as transaction:
        found = _waiting_one(services, transaction, account, session)
        if found.asking != pin.NAME:
            raise AdminError(409, "not_waiting", "this device asks for something else than a PIN")
        return admin.issue_pin_for(services, transaction, found, account.id), found


def approve(services: Services, account: Account, session: str, code: str) -> None:
    """The device that shows this code passes when it looks next, in the name of `account`.

    Raises AdminError: not_waiting; wrong_code; limited, for a code of 8 letters can be guessed in time.
    """
    now_s = services.now_s()
    tried = services.keys.keyed_hash("codes typed", account.id)
    with services.storage.transaction() as transaction:
        if not transaction.charge(tried, CODE_TRIES, now_s, now_s + CODE_WINDOW_S):
            raise AdminError(429, "limited", "too many codes that no device shows: wait 15 minutes, then try again")
    with services.storage.transaction() as transaction:
        found = _waiting_one(services, transaction, account, session)
        shown = pairing_code.find(transaction, services.keys, code, now_s)
        if shown is None or shown.id != found.id:
            raise AdminError(400, "wrong_code", "the device shows another code: look at its screen again")
        if found.locked:
            transaction.unlock(found.device, now_s)
        pairing_code.approve(transaction, found, account.id)
        transaction.forget_tries(tried)
        audit(transaction, account.id, "approved", found.device, now_s)
    logs.line("approved", client=found.client_id, device=found.device, session=found.id)


def refuse(services: Services, account: Account, session: str) -> None:
    """Whoever asks hears that a person said no. Raises AdminError: not_waiting."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        found = _waiting_one(services, transaction, account, session)
        transaction.refuse(found.id)
        transaction.void_pin(found.id)
        audit(transaction, account.id, "refused", found.device, now_s)
    logs.line("refused", device=found.device, session=found.id)


def settle(transaction: Transaction, session: Session, now_s: int) -> str:
    """Whose the satisfied session is, as `sub`: the account that let it in, else the owner of its device, else the device itself.

    An asserted device without an owner gets one here. Raises AccessDeniedError: it is somebody else's.
    """
    device = _asserted(transaction, session)
    if device is None:
        return session.account or session.device
    if session.account is None:
        return device.owner or device.device
    take(transaction, device.device, session.account, now_s)
    return session.account


def take(transaction: Transaction, device: str, account: str, now_s: int) -> None:
    """The asserted device is this account's from now on. Raises AccessDeniedError: it is somebody else's."""
    known = transaction.device(device)
    if known is None or known.owner is None:
        transaction.set_owner(device, account)
        audit(transaction, account, "paired", device, now_s)
    elif known.owner != account:
        raise AccessDeniedError("The device belongs to somebody else: its owner unpairs it first.")


# What is owned. Each raises AdminError, not_yours, for a device that is not this account's.


def owned(services: Services, account: Account) -> list[Owned]:
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        return [_owned(transaction, device, now_s) for device in transaction.devices_of(account.id)]


def one(services: Services, account: Account, device: str) -> Owned:
    with services.storage.transaction() as transaction:
        return _owned(transaction, _own(transaction, account, device), services.now_s())


def describe(services: Services, account: Account, device: str, name: str, place: str) -> None:
    """What the owner calls it and where it is; empty texts take that away."""
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
        transaction.describe_device(device, _words(name), _words(place))
        audit(transaction, account.id, "renamed", device, services.now_s())


def revoke(services: Services, account: Account, device: str) -> None:
    """Everything that the device holds ends; it stays its owner's, who may let it in again."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
        _end(transaction, device, now_s)
        audit(transaction, account.id, "revoked", device, now_s)
    logs.line("revoked", device=device)


def unpair(services: Services, account: Account, device: str) -> None:
    """Everything that the device holds ends, and it is nobody's."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
        _end(transaction, device, now_s)
        audit(transaction, account.id, "unpaired", device, now_s)
        transaction.set_owner(device, None)
    logs.line("unpaired", device=device)


def unlock(services: Services, account: Account, device: str) -> None:
    """Raises AdminError: not_locked as well."""
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
    admin.unlock(services, device, account.id)


def applications(services: Services, account: Account) -> list[Family]:
    """What holds tokens in this account's name and is none of its devices."""
    with services.storage.transaction() as transaction:
        return [family for family in transaction.live_families(account.id, services.now_s()) if family.device is None]


def revoke_application(services: Services, account: Account, family: str) -> None:
    """Raises AdminError: not_yours."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        found = transaction.family(family)
        if found is None or found.subject != account.id or found.device is not None:
            raise AdminError(404, "not_yours", "no application with access has this id: look at your list")
        transaction.revoke_family(family, now_s)
        transaction.forget_consents(account.id, found.client_id)  # it asks again
        audit(transaction, account.id, "revoked", found.client_id, now_s)
    logs.line("revoked", client=found.client_id, family=family)


# From one account to another: the owner offers, the other takes it


def offer(services: Services, account: Account, device: str, taker: str) -> None:
    """Not said: whether there is an account of that name. Raises AdminError: to_yourself as well."""
    now_s, taker = services.now_s(), normal_name(taker)
    if not taker or len(taker) > 64 or taker == account.name:
        raise AdminError(400, "to_yourself", "name the account that takes the device over: somebody else's")
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
        transaction.offer(Transfer(device, account.id, taker, now_s + OFFER_S))
        audit(transaction, account.id, "transfer_offered", device, now_s)


def withdraw(services: Services, account: Account, device: str) -> None:
    with services.storage.transaction() as transaction:
        _own(transaction, account, device)
        transaction.end_transfer(device)
        audit(transaction, account.id, "transfer_withdrawn", device, services.now_s())


def offers(services: Services, account: Account) -> list[Offer]:
    """What others offer to this account."""
    found = []
    with services.storage.transaction() as transaction:
        for transfer in transaction.offers_to(account.name, services.now_s()):
            device, giver = transaction.device(transfer.device), transaction.account(transfer.giver)
            assert device is not None and giver is not None
            found.append(Offer(device, giver.name, transfer.expires))
    return found


def take_over(services: Services, account: Account, device: str) -> None:
    """The device is this account's; what it held in the name of the other ends. Raises AdminError: not_offered."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        transfer = _offered(transaction, account, device, now_s)
        _end(transaction, device, now_s)
        audit(transaction, account.id, "taken_over", device, now_s)  # the giver is its owner still, and sees the line
        transaction.set_owner(device, account.id)
    logs.line("transferred", device=transfer.device)


def decline(services: Services, account: Account, device: str) -> None:
    """Raises AdminError: not_offered."""
    now_s = services.now_s()
    with services.storage.transaction() as transaction:
        _offered(transaction, account, device, now_s)
        transaction.end_transfer(device)
        audit(transaction, account.id, "transfer_declined", device, now_s)


def _asserted(transaction: Transaction, session: Session) -> Device | None:
    # What a public client claims as its device is vouched for by nobody, and owned by nobody.
    return transaction.device(session.device) if session.asserted else None


def _waiting(transaction: Transaction, session: Session, now_s: int) -> Waiting:
    expires = pin.expires(transaction, session)
    approved, _ = transaction.approval(session.id)
    return Waiting(session, _asserted(transaction, session), expires if expires and expires > now_s else None, approved)


def _waiting_one(services: Services, transaction: Transaction, account: Account, session: str) -> Session:
    for found in transaction.waiting(services.now_s()):
        if found.id == session and may_see(transaction, account, found):
            return found
    raise AdminError(404, "not_waiting", _GONE)


def _owned(transaction: Transaction, device: Device, now_s: int) -> Owned:
    return Owned(device, transaction.device_families(device.device, now_s), transaction.transfer(device.device, now_s))


def _own(transaction: Transaction, account: Account, device: str) -> Device:
    found = transaction.device(device)
    if found is None or found.owner != account.id:
        raise AdminError(404, "not_yours", _NOT_YOURS)
    return found


def _offered(transaction: Transaction, account: Account, device: str, now_s: int) -> Transfer:
    found = transaction.transfer(device, now_s)
    if found is None or found.taker != account.name:
        raise AdminError(404, "not_offered", "this device is not offered to you any more")
    return found


def _end(transaction: Transaction, device: str, now_s: int) -> None:
    transaction.end_sessions(device, now_s)  # a satisfied one would give a fresh code
    transaction.void_pin(pin.in_advance(device))
    transaction.end_device_grants(device, now_s)
    transaction.revoke_device(device, now_s)
    transaction.end_waiting_device_grants(device, now_s)


def _words(text: str) -> str | None:
    return " ".join("".join(sign for sign in text if sign.isprintable()).split())[:64] or None
