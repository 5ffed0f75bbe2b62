"""The file: SQLite in WAL mode, its migrations, and one transaction at a time.

Not for statements: pairing.py, proving.py, grants.py.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker_bridge.configuration import ConfigurationError
from host_sim.authorization_server.storage.grants import MEMORY_S, Grants
from host_sim.authorization_server.storage.pairing import Pairing
from host_sim.authorization_server.storage.people import AUDIT_S, People
from host_sim.authorization_server.storage.proving import DAY_S, MAX_FAILURES_IN_A_ROW, Proving
from host_sim.authorization_server.storage.schema import MIGRATIONS

_PRUNE_EVERY_S = 30


class Transaction(Pairing, Proving, Grants, People):
    """What can be read and written while one transaction is open. Times are epoch seconds."""

    def prune(self, now: int) -> None:
        """Forgets what nobody can use or abuse any more."""
        self._execute("DELETE FROM proofs WHERE expires <= ?", (now,))
        self._execute("DELETE FROM pins WHERE expires <= ?", (now - DAY_S,))  # until then it is "expired" and not "wrong"
        self._execute("DELETE FROM sessions WHERE expires <= ?", (now,))
        # Who exists is remembered for longer: not one failure a day, for ever, stays below the limit of failures in a row.
        stale = "since <= ? AND known = 0 OR since <= ? AND in_a_row < ?"
        self._execute(f"DELETE FROM failures WHERE {stale}", (now - DAY_S, now - 30 * DAY_S, MAX_FAILURES_IN_A_ROW))  # noqa: S608
        self._execute("DELETE FROM codes WHERE expires <= ?", (now - MEMORY_S,))
        self._execute("DELETE FROM refresh_tokens WHERE expires <= ?", (now,))
        self._execute("DELETE FROM families WHERE expires <= ?", (now,))
        self._execute("DELETE FROM sign_ins WHERE expires <= ?", (now,))
        self._execute("DELETE FROM sign_in_attempts WHERE expires <= ?", (now,))
        self._execute("DELETE FROM transfers WHERE expires <= ?", (now,))
        self._execute("DELETE FROM audit WHERE at <= ?", (now - AUDIT_S,))


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
            if version > len(MIGRATIONS):
                raise ConfigurationError(f"{path}: written by a later version of Latchpin; start that one")
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

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
