"""What every group of tables stands on: rows in and out by their class.

Not for conditions: those are in the files of the groups.
"""

import sqlite3
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from host_sim.authorization_server.storage.rows import (
    Account,
    AddedClient,
    Code,
    Device,
    DeviceGrant,
    Entry,
    Family,
    Pin,
    PushedRequest,
    RefreshToken,
    Session,
    SignIn,
    Transfer,
)

Row = TypeVar("Row")

_TABLES: dict[type, str] = {
    Session: "sessions",
    Pin: "pins",
    Code: "codes",
    Family: "families",
    RefreshToken: "refresh_tokens",
    Device: "devices",
    Account: "accounts",
    SignIn: "sign_ins",
    Transfer: "transfers",
    Entry: "audit",
    AddedClient: "added_clients",
    PushedRequest: "pushed_requests",
    DeviceGrant: "device_grants",
}


@cache
def _columns(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


class Tables:
    """Rows by their class."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def _one(self, kind: type[Row], condition: str, *values: Any) -> Row | None:
        found = self._execute(f"SELECT * FROM {_TABLES[kind]} WHERE {condition}", values).fetchone()  # noqa: S608
        return kind(**dict(found)) if found else None

    def _one_or(self, blank: Row, condition: str, *values: Any) -> Row:
        """`blank` where there is no row: found or not, the same statement and the same work."""
        names = _columns(type(blank))
        places = ", ".join("?" * len(names))
        found = self._execute(
            f"SELECT {', '.join(names)} FROM {_TABLES[type(blank)]} WHERE {condition} UNION ALL SELECT {places} LIMIT 1",  # noqa: S608
            [*values, *(getattr(blank, name) for name in names)],
        ).fetchone()
        return type(blank)(**dict(found))

    def _all(self, kind: type[Row], condition: str, *values: Any) -> list[Row]:
        return [kind(**dict(row)) for row in self._execute(f"SELECT * FROM {_TABLES[kind]} WHERE {condition}", values)]  # noqa: S608

    def _insert(self, row: Any, conflict: str = "ABORT") -> None:
        names = _columns(type(row))
        places = ", ".join("?" * len(names))
        self._execute(
            f"INSERT OR {conflict} INTO {_TABLES[type(row)]} ({', '.join(names)}) VALUES ({places})",  # noqa: S608
            [getattr(row, name) for name in names],
        )
