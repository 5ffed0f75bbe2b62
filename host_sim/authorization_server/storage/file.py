"""The file: SQLite in WAL mode, its migrations, and one transaction at a time.

Not for statements of one group of tables: pairing.py, proving.py, grants.py, people.py.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from broker_bridge.configuration import ConfigurationError
from host_sim.authorization_server.storage.grants import MEMORY_S, Grants
from host_sim.authorization_server.storage.pairing import Pairing
from host_sim.authorization_server.storage.people import AUDIT_S, People
from host_sim.authorization_server.storage.proving import DAY_S, MAX_FAILURES_IN_A_ROW, Proving
from host_sim.authorization_server.storage.schema import MIGRATIONS
from host_sim.authorization_server.storage.web import Web

_PRUNE_EVERY_S = 30

Result = TypeVar("Result")


class Transaction(Pairing, Proving, Grants, People, Web):
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
        self._execute("DELETE FROM families WHERE expires <= ?", (now,))
        self._execute("DELETE FROM pushed_requests WHERE expires <= ?", (now,))
        self._execute("DELETE FROM device_grants WHERE expires <= ?", (now - MEMORY_S,))  # until then it is "expired"
        self._execute("DELETE FROM sign_ins WHERE expires <= ?", (now,))
        self._execute("DELETE FROM limited WHERE expires <= ?", (now,))
        self._execute("DELETE FROM transfers WHERE expires <= ?", (now,))
        self._execute("DELETE FROM audit WHERE at <= ?", (now - AUDIT_S,))

    def figures(self, now: int) -> dict[str, int]:
        """How many there are of everything (metrics.py)."""
        counted = {
            "devices": "FROM devices",
            "locked_devices": "FROM devices WHERE locked IS NOT NULL",
            "live_families": "FROM families WHERE revoked IS NULL AND expires > :now",
            "accounts": "FROM accounts",
            "signed_in": "FROM sign_ins WHERE expires > :now",
        }
        counts = ", ".join(f"(SELECT COUNT(*) {rows})" for rows in counted.values())
        found = self._execute(f"SELECT {counts}", {"now": now}).fetchone()
        return dict(zip(counted, found, strict=True)) | {"waiting_sessions": len(self.waiting(now))}


class Storage:
    """The file, and one transaction at a time in this process; other processes wait for each other in SQLite.

    Raises ConfigurationError: the file is of a later version, or is no SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._pruned = 0
        self._inside = threading.local()  # .batch: this thread works on a batch of `together`
        self._asked: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._working = False
        try:
            # FULL: an answered request survives a power cut too; a refresh token that the AS forgot would lock its device out.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                self._connection.execute("PRAGMA " + pragma)
            path.chmod(0o600)
            self._transaction = Transaction(self._connection)
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
        """Durable when it ends (in `together`: when that returns); undone when an exception leaves it.

        A refusal is an outcome: catch it inside.
        """
        if getattr(self._inside, "batch", False):
            self._connection.execute("SAVEPOINT one")
            try:
                yield self._transaction
            except BaseException:
                self._connection.execute("ROLLBACK TO one")
                raise
            finally:
                self._connection.execute("RELEASE one")
            return
        with self._lock:
            self._begin()
            try:
                yield self._transaction
                self._end("COMMIT")
            except BaseException:
                self._end("ROLLBACK")
                raise

    async def together(self, work: Callable[[], Result]) -> Result:
        """What `work` returns, once all that it wrote is durable. On the event loop: it must neither wait nor take long.

        Whatever is asked at the same time shares one commit, and so one wait for the disk.
        """
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._asked.append((work, answered))
        if not self._working:
            self._working = True
            self._task = asyncio.create_task(self._work())  # kept here, or it could be collected
        return await answered

    async def _work(self) -> None:
        while self._asked:
            await asyncio.to_thread(self._enter)
            asked, self._asked = self._asked, []
            outcomes = [(answered, self._outcome(work)) for work, answered in asked]
            failure = await asyncio.to_thread(self._leave)
            for answered, (result, error) in outcomes:
                if answered.done():
                    continue
                if fault := failure or error:
                    answered.set_exception(fault)
                else:
                    answered.set_result(result)
        self._working = False

    def _enter(self) -> None:
        self._lock.acquire()
        self._begin()

    def _outcome(self, work: Callable[[], Any]) -> tuple[Any, Exception | None]:
        self._inside.batch = True
        try:
            return work(), None
        except Exception as error:
            return None, error
        finally:
            self._inside.batch = False

    def _leave(self) -> Exception | None:
        """Commits the batch; why nothing of it is durable, if so."""
        try:
            self._end("COMMIT")
        except sqlite3.Error as error:
            self._end("ROLLBACK")
            return error
        finally:
            self._lock.release()
        return None

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def _end(self, how: str) -> None:
        if self._connection.in_transaction:
            self._connection.execute(how)

    def prune(self, now: int) -> None:
        """Once in a while; cheap to call often."""
        if now - self._pruned >= _PRUNE_EVERY_S:
            self._pruned = now
            with self.transaction() as transaction:
                transaction.prune(now)

    def close(self) -> None:
        self._connection.close()
