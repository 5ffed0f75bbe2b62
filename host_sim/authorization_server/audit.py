"""The audit log: who did what, and when. Its actions are a closed list, each with its sentence for people.

Not for secrets, and not for what a request brought: a subject is a device, an account or a client by its id.
"""

from host_sim.authorization_server.storage import Transaction

# action: what a person reads; the subject follows it.
ACTIONS = {
    "account_created": "Account created",
    "password_changed": "Password changed",
    "authenticator_set": "Authenticator set up for",
    "knowledge_set": "Questions answered for",
    "signed_in": "Signed in",
    "signed_out": "Signed out",
    "pin_issued": "PIN issued for",
    "consented": "Access granted to the app",
    "client_added": "Client added:",
    "approved": "Approved",
    "refused": "Refused",
    "paired": "Paired",
    "locked": "Locked after wrong answers:",
    "unlocked": "Unlocked",
    "renamed": "Renamed",
    "revoked": "Access revoked:",
    "unpaired": "Unpaired",
    "given_up": "Unpaired at the device itself:",
    "transfer_offered": "Offered to another account:",
    "transfer_withdrawn": "Offer withdrawn:",
    "transfer_declined": "Offer declined:",
    "taken_over": "Taken over:",
}


def audit(transaction: Transaction, account: str | None, action: str, subject: str, now_s: int) -> None:
    """One line. account: an id, or None where no account stands behind it (the console line, a device itself)."""
    assert action in ACTIONS
    transaction.audit(account, action, subject, now_s)


def audit_lock(transaction: Transaction, device: str, now_s: int) -> None:
    """The line of a lock, by the same statement whether there is such a device or not. Goes before the lock."""
    transaction.audit_lock(device, now_s)
