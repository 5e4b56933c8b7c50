"""Rows written in pieces, new or over those that stand there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite

# SQLite takes 32,766 values in one statement; a list of values is cut into pieces of this size.
_PIECE = 1_000


def plain_row(row: RowMapping) -> dict[str, Any]:
    """Name a row's values by the names of their columns."""
    return {str(name): value for name, value in row.items()}


def pieces(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Cut a list of values into pieces that fit a statement."""
    whole = sorted(values)
    for start in range(0, len(whole), _PIECE):
        yield whole[start : start + _PIECE]


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows, over those with the same primary key."""
    if not rows:
        return
    key = _key_of(table)
    connection.execute(
        _upserting(table, connection.dialect.name),
        sorted(rows, key=lambda row: tuple(row[name] for name in key)),
    )


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row, unless its primary key is there; say whether it was inserted."""
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = list(table.primary_key.columns)
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(*key)
    return connection.execute(statement).first() is not None


def _key_of(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


# Made once: to make one costs more than to run it.
@cache
def _upserting(table: Table, dialect: str) -> Any:
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    key = _key_of(table)
    changed = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in key
    }
    return statement.on_conflict_do_update(index_elements=key, set_=changed)
