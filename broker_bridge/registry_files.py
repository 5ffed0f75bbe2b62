"""The two forms of a registry's file: TOML, which people read, and SQLite, which holds many devices.

Not for what an entry means: registry.py checks each one. Here a device is its id and a table of fields.
"""

import contextlib
import os
import sqlite3
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

Fields = dict[str, Any]  # alias, mqtt_password, revoked, keys: a list of kid and public (hexadecimal)

_HEAD = b"# Devices that may speak. Written by `latchpin device`; your own comments do not survive its next change.\n\n"
_MODE = 0o640


class RegistryError(ValueError):
    """The registry or an entry of it cannot be used; the text says what to do next and quotes no value. `device`: whose entry."""

    def __init__(self, text: str, device: str | None = None) -> None:
        super().__init__(text)
        self.device = device


class TomlFile:
    """[devices.ID] for each device. A change replaces the whole file in one rename, under the lock of a file beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self) -> object:
        """Another value whenever the content has changed; None where there is no file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> dict[str, Any]:
        try:
            data = tomllib.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except OSError:
            raise RegistryError("the registry cannot be read: check the permissions of the file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            raise RegistryError("the registry is not TOML: put back the last good file") from None
        if set(data) - {"devices"} or not isinstance(data.get("devices", {}), dict):
            raise RegistryError("the registry has one table, [devices]: remove what stands beside it")
        return data.get("devices", {})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No other writer has the file meanwhile."""
        with self._path.with_name(self._path.name + ".lock").open("a+b") as file:
            if sys.platform == "win32":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, devices: dict[str, Fields], changed: list[str]) -> None:
        """All devices, of which `changed` are new; under `locked`."""
        mode = self._path.stat().st_mode & 0o777 if self._path.exists() else _MODE
        handle, temporary = tempfile.mkstemp(prefix=self._path.name + ".", dir=self._path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_HEAD + tomli_w.dumps({"devices": dict(sorted(devices.items()))}).encode())
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


class SqliteFile:
    """A row for each device and for each key. A change writes its own rows; readers need no right to write."""

    SUFFIXES = (".sqlite", ".sqlite3", ".db")
    _TABLES = (
        """CREATE TABLE IF NOT EXISTS devices (
            device TEXT PRIMARY KEY, alias TEXT NOT NULL, mqtt_password TEXT NOT NULL, revoked INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE IF NOT EXISTS keys (
            device TEXT NOT NULL REFERENCES devices, kid INTEGER NOT NULL, public TEXT NOT NULL, PRIMARY KEY (device, kid)
        ) WITHOUT ROWID""",
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None

    def stamp(self) -> object:
        """Another value whenever the content has changed; None where there is no file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        # Never open(): to close it would take away the locks that SQLite holds on the file (sqlite.org/howtocorrupt.html, 2.2).
        with _refusing(), contextlib.closing(self._open("ro")) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        return status.st_ino, status.st_size, status.st_mtime_ns, version

    def read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        found: dict[str, Fields] = {}
        with _refusing(), contextlib.closing(self._open("ro")) as connection:
            connection.execute("BEGIN")  # both tables as of one moment
            if not connection.execute("SELECT name FROM sqlite_schema").fetchall():
                return {}  # made a moment ago, and not committed yet
            rows = connection.execute("SELECT device, alias, mqtt_password, revoked FROM devices")
            for device, alias, password, revoked in rows:
                found[device] = {"alias": alias, "mqtt_password": password, "revoked": bool(revoked), "keys": []}
            for device, kid, public in connection.execute("SELECT device, kid, public FROM keys ORDER BY device, kid"):
                found[device]["keys"].append({"kid": kid, "public": public})
        return found

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """No other writer has the file meanwhile."""
        new = not self._path.exists()
        with _refusing(), contextlib.closing(self._open("rwc")) as connection:
            connection.execute("BEGIN IMMEDIATE")  # first: whoever reads before it writes may be refused without a wait
            if new:
                self._path.chmod(_MODE)
            for table in self._TABLES:
                connection.execute(table)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version + 1}")
            self._writer = connection
            try:
                yield
                connection.execute("COMMIT")
            finally:
                self._writer = None

    def write(self, devices: dict[str, Fields], changed: list[str]) -> None:
        """All devices, of which `changed` are new; under `locked`."""
        assert self._writer is not None
        execute = self._writer.execute
        for device in changed:
            fields = devices[device]
            row = (device, fields["alias"], fields["mqtt_password"], fields["revoked"])
            execute("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?)", row)
            execute("DELETE FROM keys WHERE device = ?", (device,))
            for key in fields["keys"]:
                execute("INSERT INTO keys VALUES (?, ?, ?)", (device, key["kid"], key["public"]))

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10, isolation_level=None)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, KeyError):
        text = "the registry is no SQLite file of ours, is locked or in WAL mode: put back the last good one, or see its rights"
        raise RegistryError(text) from None
