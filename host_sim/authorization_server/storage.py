"""Everything that must outlive a kill -9: SQLite in WAL mode, and every SQL statement of the AS.

Not for decisions: what a row means for a request is decided in the endpoints. No row holds a PIN, a code, a token or an
auth_session, only keyed hashes of them (keys.py).
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from broker_bridge.configuration import ConfigurationError

# Each entry lifts the file by one version (PRAGMA user_version). Entries are only ever added.
_MIGRATIONS = (
    """
    CREATE TABLE devices (
        device TEXT PRIMARY KEY, client_id TEXT NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, locked INTEGER
    );
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, client_id TEXT NOT NULL, device TEXT NOT NULL, asserted INTEGER NOT NULL, decoy INTEGER NOT NULL,
        jkt TEXT, scope TEXT NOT NULL, resource TEXT NOT NULL, code_challenge TEXT NOT NULL, binding_word TEXT NOT NULL,
        challenges TEXT NOT NULL, step INTEGER NOT NULL, tries INTEGER NOT NULL, requests INTEGER NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, handle BLOB NOT NULL UNIQUE, handle_before BLOB UNIQUE
    );
    CREATE INDEX asserted_sessions ON sessions (device) WHERE asserted = 1;
    CREATE INDEX claimed_sessions ON sessions (client_id) WHERE asserted = 0;
    CREATE TABLE pins (session TEXT PRIMARY KEY, digest BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE TABLE families (
        id TEXT PRIMARY KEY, session TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, device TEXT,
        scope TEXT NOT NULL, resource TEXT NOT NULL, jkt TEXT, created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER
    );
    CREATE INDEX families_by_session ON families (session);
    CREATE TABLE codes (
        digest BLOB PRIMARY KEY, session TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, device TEXT,
        scope TEXT NOT NULL, resource TEXT NOT NULL, jkt TEXT, code_challenge TEXT NOT NULL, expires INTEGER NOT NULL,
        used INTEGER, family TEXT, revoked INTEGER
    );
    CREATE INDEX codes_by_session ON codes (session);
    CREATE TABLE refresh_tokens (
        digest BLOB PRIMARY KEY, family TEXT NOT NULL, expires INTEGER NOT NULL, used INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires);
    CREATE TABLE proofs (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
    """,
)

MAX_TRIES = 5
MAX_REQUESTS = 200  # of one session in its life: FiPA-04, section 9.3
_MEMORY_S = 86400  # how long a used code or refresh token is known again, so that its reuse ends its family
_PRUNE_EVERY_S = 30


@dataclass(frozen=True)
class Session:
    """One authorization challenge session. `handle` is the hash of the auth_session that stands for it at present."""

    id: str
    client_id: str
    device: str
    asserted: bool  # an authenticated client vouches for `device`
    decoy: bool  # looks like any other and can never be satisfied
    jkt: str | None
    scope: str
    resource: str
    code_challenge: str
    binding_word: str
    challenges: str  # their names in order, separated by spaces
    step: int  # how many of them are passed
    tries: int
    requests: int
    created: int
    expires: int
    handle: bytes
    handle_before: bytes | None

    @property
    def asking(self) -> str | None:
        """The name of the challenge that waits for an answer; None when the session is satisfied."""
        names = self.challenges.split()
        return names[self.step] if self.step < len(names) else None

    @property
    def locked(self) -> bool:
        return self.tries >= MAX_TRIES


@dataclass(frozen=True)
class Pin:
    session: str
    digest: bytes
    expires: int


@dataclass(frozen=True)
class Code:
    """An authorization code, in the words that Authlib's grants ask for."""

    digest: bytes
    session: str
    client_id: str
    subject: str
    device: str | None
    scope: str
    resource: str
    jkt: str | None
    code_challenge: str
    expires: int
    used: int | None = None
    family: str | None = None
    revoked: int | None = None

    code_challenge_method = "S256"

    def get_scope(self) -> str:
        return self.scope

    def get_redirect_uri(self) -> None:
        return None


@dataclass(frozen=True)
class Family:
    """What came from one authorization code: every refresh token and access token of it."""

    id: str
    session: str
    client_id: str
    subject: str
    device: str | None
    scope: str
    resource: str
    jkt: str | None
    created: int
    expires: int
    revoked: int | None = None


@dataclass(frozen=True)
class RefreshToken:
    digest: bytes
    family: str
    expires: int
    used: int | None = None


@dataclass(frozen=True)
class Device:
    device: str
    client_id: str
    first_seen: int
    last_seen: int
    locked: int | None


Row = TypeVar("Row", Session, Pin, Code, Family, RefreshToken, Device)


class Transaction:
    """What can be read and written while one transaction is open. Times are epoch seconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def _one(self, kind: type[Row], condition: str, *values: Any) -> Row | None:
        found = self._execute(f"SELECT * FROM {_TABLES[kind]} WHERE {condition}", values).fetchone()  # noqa: S608
        return kind(**dict(found)) if found else None

    def _all(self, kind: type[Row], condition: str, *values: Any) -> list[Row]:
        return [kind(**dict(row)) for row in self._execute(f"SELECT * FROM {_TABLES[kind]} WHERE {condition}", values)]  # noqa: S608

    def _insert(self, row: Session | Pin | Code | Family | RefreshToken, conflict: str = "ABORT") -> None:
        names = [field.name for field in fields(row)]
        places = ", ".join("?" * len(names))
        self._execute(
            f"INSERT OR {conflict} INTO {_TABLES[type(row)]} ({', '.join(names)}) VALUES ({places})",  # noqa: S608
            [getattr(row, name) for name in names],
        )

    # DPoP proofs (RFC 9449, section 11.1)

    def remember_proof(self, digest: bytes, expires: int) -> bool:
        """False: this proof was here before."""
        return self._execute("INSERT OR IGNORE INTO proofs VALUES (?, ?)", (digest, expires)).rowcount == 1

    # Devices

    def see_device(self, device: str, client_id: str, now: int) -> Device:
        """The device as it stands, from now on known as seen now."""
        self._execute(
            "INSERT INTO devices VALUES (?, ?, ?, ?, NULL) ON CONFLICT (device) DO UPDATE SET last_seen = excluded.last_seen,"
            " client_id = excluded.client_id",
            (device, client_id, now, now),
        )
        found = self._one(Device, "device = ?", device)
        assert found is not None
        return found

    def devices(self) -> list[Device]:
        return self._all(Device, "1 ORDER BY device")

    def lock_device(self, device: str, now: int) -> None:
        self._execute("UPDATE devices SET locked = ? WHERE device = ?", (now, device))

    def unlock(self, device: str, now: int) -> bool:
        """Tries count from zero again for the device and its live sessions. False: nothing was locked."""
        device_row = self._execute("UPDATE devices SET locked = NULL WHERE device = ? AND locked IS NOT NULL", (device,)).rowcount
        sessions = self._execute(
            "UPDATE sessions SET tries = 0 WHERE device = ? AND expires > ? AND tries >= ?", (device, now, MAX_TRIES)
        ).rowcount
        return device_row + sessions > 0

    # Challenge sessions

    def add_session(self, session: Session) -> None:
        self._insert(session)

    def end_waiting_sessions(self, device: str, now: int) -> None:
        """A device that starts again has forgotten its unfinished sessions."""
        for session in self._all(Session, "device = ? AND asserted = 1 AND expires > ?", device, now):
            if session.asking:
                self._execute("UPDATE sessions SET expires = ? WHERE id = ?", (now, session.id))

    def session_by_handle(self, handle: bytes) -> Session | None:
        return self._one(Session, "handle = ?", handle)

    def session_by_handle_before(self, handle: bytes) -> Session | None:
        """The session whose last but one handle this is, while its last one was never used."""
        return self._one(Session, "handle_before = ?", handle)

    def session(self, session: str) -> Session | None:
        return self._one(Session, "id = ?", session)

    def turn_session(self, session: str, handle: bytes, handle_before: bytes | None, expires: int) -> bool:
        """The session answers to `handle` from now on. False: it has had its share of requests."""
        return (
            self._execute(
                "UPDATE sessions SET handle = ?, handle_before = ?, expires = ?, requests = requests + 1"
                " WHERE id = ? AND requests < ?",
                (handle, handle_before, expires, session, MAX_REQUESTS),
            ).rowcount
            == 1
        )

    def charge_attempt(self, session: str) -> int | None:
        """Counts one answer before anybody compares it: how many tries are left after it, or None when none was left."""
        charged = self._execute("UPDATE sessions SET tries = tries + 1 WHERE id = ? AND tries < ?", (session, MAX_TRIES)).rowcount
        if not charged:
            return None
        return MAX_TRIES - self._execute("SELECT tries FROM sessions WHERE id = ?", (session,)).fetchone()[0]

    def pass_step(self, session: str, expires: int) -> None:
        """A right answer: on to the next challenge, and the try that it took is given back."""
        self._execute("UPDATE sessions SET step = step + 1, tries = tries - 1, expires = ? WHERE id = ?", (expires, session))

    def prolong(self, session: str, expires: int) -> None:
        self._execute("UPDATE sessions SET expires = MAX(expires, ?) WHERE id = ?", (expires, session))

    def waiting(self, now: int) -> list[Session]:
        """Live sessions in which somebody waits for a person, oldest first. Decoys are not among them."""
        found = self._all(Session, "expires > ? AND decoy = 0 ORDER BY created, id", now)
        return [session for session in found if session.asking]

    def count_claimed_sessions(self, client_id: str, now: int) -> int:
        """Live sessions of a public client."""
        return self._execute(
            "SELECT COUNT(*) FROM sessions WHERE client_id = ? AND asserted = 0 AND expires > ?", (client_id, now)
        ).fetchone()[0]

    # PINs

    def set_pin(self, pin: Pin) -> None:
        self._insert(pin, "REPLACE")

    def pin(self, session: str) -> Pin | None:
        return self._one(Pin, "session = ?", session)

    def void_pin(self, session: str) -> None:
        self._execute("DELETE FROM pins WHERE session = ?", (session,))

    # Authorization codes, and what comes from them

    def add_code(self, code: Code) -> None:
        self._insert(code)

    def code(self, digest: bytes) -> Code | None:
        return self._one(Code, "digest = ?", digest)

    def use_code(self, digest: bytes, family: str, now: int) -> None:
        used = self._execute("UPDATE codes SET used = ?, family = ? WHERE digest = ? AND used IS NULL", (now, family, digest))
        assert used.rowcount == 1
        # Redeeming uses the auth_session that came with the code: a superseded one that arrives late takes no tokens back.
        session = "SELECT session FROM codes WHERE digest = ?"
        self._execute(f"UPDATE sessions SET handle_before = NULL WHERE id = ({session})", (digest,))  # noqa: S608

    def revoke_session_codes(self, session: str, now: int) -> None:
        """The codes of a session and every family that came from them."""
        self._execute("UPDATE codes SET revoked = ? WHERE session = ? AND revoked IS NULL", (now, session))
        self._execute("UPDATE families SET revoked = ? WHERE session = ? AND revoked IS NULL", (now, session))

    def add_family(self, family: Family) -> None:
        self._insert(family)

    def family(self, family: str) -> Family | None:
        return self._one(Family, "id = ?", family)

    def prolong_family(self, family: str, expires: int) -> None:
        self._execute("UPDATE families SET expires = MAX(expires, ?) WHERE id = ?", (expires, family))

    def revoke_family(self, family: str, now: int) -> None:
        self._execute("UPDATE families SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, family))

    def add_refresh_token(self, token: RefreshToken) -> None:
        """Adding the same one again changes nothing."""
        self._insert(token, "IGNORE")

    def refresh_token(self, digest: bytes) -> RefreshToken | None:
        return self._one(RefreshToken, "digest = ?", digest)

    def use_refresh_token(self, digest: bytes, now: int) -> None:
        """The first use counts; a repetition does not move it."""
        self._execute(
            "UPDATE refresh_tokens SET used = ?, expires = MIN(expires, ?) WHERE digest = ? AND used IS NULL",
            (now, now + _MEMORY_S, digest),
        )

    def prune(self, now: int) -> None:
        """Forgets what nobody can use or abuse any more."""
        self._execute("DELETE FROM proofs WHERE expires <= ?", (now,))
        self._execute("DELETE FROM pins WHERE session IN (SELECT id FROM sessions WHERE expires <= ?)", (now,))
        self._execute("DELETE FROM sessions WHERE expires <= ?", (now,))
        self._execute("DELETE FROM codes WHERE expires <= ?", (now - _MEMORY_S,))
        self._execute("DELETE FROM refresh_tokens WHERE expires <= ?", (now,))
        self._execute("DELETE FROM families WHERE expires <= ?", (now,))


_TABLES: dict[type, str] = {
    Session: "sessions",
    Pin: "pins",
    Code: "codes",
    Family: "families",
    RefreshToken: "refresh_tokens",
    Device: "devices",
}


class Storage:
    """The file, and one transaction at a time in this process; other processes wait for each other in SQLite.

    Raises ConfigurationError: the file is of a later version, or is no SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._pruned = 0
        try:
            # FULL: an answered request survives a power cut too; a refresh token that the AS forgot would lock its device out.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                self._connection.execute("PRAGMA " + pragma)
            path.chmod(0o600)
            self._migrate(path)
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{path}: cannot be used as a database ({error.sqlite_errorname})") from None

    def _migrate(self, path: Path) -> None:
        with self.transaction():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(_MIGRATIONS):
                raise ConfigurationError(f"{path}: written by a later version of Latchpin; start that one")
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";"):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Durable when it ends; undone when an exception leaves it. A refusal is an outcome: catch it inside."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def prune(self, now: int) -> None:
        """Once in a while; cheap to call often."""
        if now - self._pruned >= _PRUNE_EVERY_S:
            self._pruned = now
            with self.transaction() as transaction:
                transaction.prune(now)

    def close(self) -> None:
        self._connection.close()
