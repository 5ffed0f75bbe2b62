"""Everything that must outlive a kill -9: SQLite in WAL mode, and every SQL statement of the AS.

Not for decisions: what a row means for a request is decided in the endpoints. No row holds a PIN, a code, a token or an
auth_session, only keyed hashes of them (keys.py).
"""

from host_sim.authorization_server.storage.file import Storage, Transaction
from host_sim.authorization_server.storage.rows import MAX_TRIES, Code, Device, Family, Pin, RefreshToken, Session

__all__ = ["MAX_TRIES", "Code", "Device", "Family", "Pin", "RefreshToken", "Session", "Storage", "Transaction"]
