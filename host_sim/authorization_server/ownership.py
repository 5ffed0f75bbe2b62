"""Whose a device is, and what its owner may do with it: see it wait, issue a PIN, refuse, rename, revoke, unpair, hand it on.

Not for pages, and not for the operator at the console line, who owns nothing and sees everything: admin.py.
"""

from authlib.oauth2.rfc6749 import AccessDeniedError

from host_sim.authorization_server.audit import audit
from host_sim.authorization_server.storage import Account, Session, Transaction


def may_see(transaction: Transaction, account: Account, session: Session) -> bool:
    """A waiting device shows itself to its owner; one without an owner to everybody, until somebody issues a PIN for it."""
    device = transaction.device(session.device) if session.asserted else None
    if device is not None and device.owner is not None:
        return device.owner == account.id
    issued = transaction.pin(session.id)
    return (issued.account if issued else session.account) in (None, account.id)


def settle(transaction: Transaction, session: Session, now_s: int) -> str:
    """Whose the satisfied session is, as `sub`: the account that let it in, else the owner of its device, else the device itself.

    An asserted device without an owner gets one here. Raises AccessDeniedError: it is somebody else's.
    """
    device = transaction.device(session.device) if session.asserted else None
    if device is None:
        return session.account or session.device
    if session.account is None:
        return device.owner or device.device
    if device.owner is None:
        transaction.set_owner(device.device, session.account)
        audit(transaction, session.account, "paired", device.device, now_s)
    elif device.owner != session.account:
        raise AccessDeniedError("The device belongs to somebody else: its owner unpairs it first.")
    return session.account
