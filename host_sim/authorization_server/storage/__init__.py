"""Everything that must outlive a kill -9: SQLite in WAL mode, and every SQL statement of the AS.

Not for decisions: what a row means for a request is decided in the endpoints. No row holds a PIN, a code, a token, a
password or an auth_session, only hashes of them (keys.py, accounts.py).
"""

from host_sim.authorization_server.storage.file import Storage, Transaction
from host_sim.authorization_server.storage.rows import (
    MAX_TRIES,
    Account,
    AddedClient,
    Code,
    Device,
    DeviceGrant,
    Entry,
    Family,
    Pin,
    PushedRequest,
    Session,
    SignIn,
    Transfer,
)

__all__ = [
    "MAX_TRIES",
    "Account",
    "AddedClient",
    "Code",
    "Device",
    "DeviceGrant",
    "Entry",
    "Family",
    "Pin",
    "PushedRequest",
    "Session",
    "SignIn",
    "Storage",
    "Transaction",
    "Transfer",
]
