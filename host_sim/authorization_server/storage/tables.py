"""What every group of tables stands on: rows in and out by their class.

Not for conditions: those are in the files of the groups.
"""

import sqlite3
from functools import cache
from typing import Any, NamedTuple, TypeVar

from host_sim.authorization_server.storage.rows import (
    Account,
    AddedClient,
    Code,
    Device,
    DeviceGrant,
    Entry,
    Family,
    Pin,
    Prover,
    PushedRequest,
    Session,
    SignIn,
    Transfer,
)

Row = TypeVar("Row", bound=NamedTuple)

_TABLES: dict[type[NamedTuple], str] = {
    Session: "sessions",
    Pin: "pins",
    Code: "codes",
    Family: "families",
    Device: "devices",
    Account: "accounts",
    Prover: "accounts INDEXED BY provers",
    SignIn: "sign_ins",
    Transfer: "transfers",
    Entry: "audit",
    AddedClient: "added_clients",
    PushedRequest: "pushed_requests",
    DeviceGrant: "device_grants",
}


@cache
def _read(kind: type[NamedTuple], condition: str) -> str:
    return f"SELECT {', '.join(kind._fields)} FROM {_TABLES[kind]} WHERE {condition}"  # noqa: S608


@cache
def _read_or(kind: type[NamedTuple], condition: str) -> str:
    return f"{_read(kind, condition)} UNION ALL SELECT {', '.join('?' * len(kind._fields))} LIMIT 1"


@cache
def _returning(kind: type[NamedTuple], statement: str) -> str:
    return f"{statement} RETURNING {', '.join(kind._fields)}"


@cache
def _write(kind: type[NamedTuple], conflict: str) -> str:
    places = ", ".join("?" * len(kind._fields))
    return f"INSERT OR {conflict} INTO {_TABLES[kind]} ({', '.join(kind._fields)}) VALUES ({places})"  # noqa: S608


class Tables:
    """Rows by their class."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def _one(self, kind: type[Row], condition: str, *values: Any) -> Row | None:
        found = self._execute(_read(kind, condition), values).fetchone()
        return kind._make(found) if found else None

    def _one_or(self, blank: Row, condition: str, *values: Any) -> Row:
        """`blank` where there is no row: found or not, the same statement and the same work."""
        kind = type(blank)
        return kind._make(self._execute(_read_or(kind, condition), (*values, *blank)).fetchone())

    def _all(self, kind: type[Row], condition: str, *values: Any) -> list[Row]:
        return [kind._make(row) for row in self._execute(_read(kind, condition), values)]

    def _changed(self, kind: type[Row], statement: str, values: Any) -> Row:
        """The one row that `statement` writes, as it stands then."""
        return kind._make(self._execute(_returning(kind, statement), values).fetchone())

    def _insert(self, row: NamedTuple, conflict: str = "ABORT") -> None:
        self._execute(_write(type(row), conflict), row)
