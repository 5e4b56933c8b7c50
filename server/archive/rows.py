"""Reading a book's rows from the tables, and writing them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from server.archive import tables
from server.archive.book import (
    AccountRow,
    Book,
    LotRow,
    MovementRow,
    UseRow,
    read_call,
    to_values,
    touched_tallies,
)
from server.archive.changes import (
    CallChange,
    CallState,
    DirectDebit,
    Entry,
    LotAdded,
    LotsTaken,
    LotVoided,
    Refund,
)

# SQLite takes 32,766 values in one statement; a list of values is cut into pieces of this size.
_PIECE = 1_000


def load_book(connection: Connection, entries: Sequence[Entry]) -> Book:
    """Read every row that these entries may change."""
    changes = [entry.change for entry in entries if isinstance(entry.change, CallChange)]
    book = Book()
    _load_accounts(connection, book, {entry.tenant_id for entry in entries})
    _load_calls(connection, book, {change.opened_id for change in changes})
    _load_lots(connection, book, _lots_named(entries))
    _load_movements(connection, book, tables.MOVEMENTS.c.movement_id, values=_moved(entries))
    fields = touched_tallies(changes)
    _load_tallies(connection, book, tables.TALLIES.c.field, values=fields)
    return book


def load_partition(connection: Connection, partition: int) -> Book:
    """Read all accounts of a partition, what is left of their lots, and their running calls."""
    book = Book()
    lots, calls = tables.LOTS, tables.CALLS
    for row in _rows(connection, tables.ACCOUNTS.c.partition, [partition]):
        book.accounts[row["tenant_id"]] = AccountRow(**row)
    tenants = list(book.accounts)
    for row in _rows(connection, lots.c.tenant_id, tenants):
        book.lots[row["tenant_id"], row["lot_id"]] = LotRow(**row)
    _load_tallies(connection, book, tables.TALLIES.c.tenant_id, values=tenants)
    _load_movements(connection, book, tables.MOVEMENTS.c.tenant_id, values=tenants)
    live = select(calls.c.opened_id).where(
        calls.c.tenant_id.in_(tenants), calls.c.state == CallState.LIVE.value
    )
    _load_calls(connection, book, set(connection.scalars(live)))
    return book


def store_book(connection: Connection, book: Book) -> None:
    """Write all rows of a book back."""
    upsert(connection, tables.ACCOUNTS, [to_values(row) for row in book.accounts.values()])
    upsert(connection, tables.LOTS, [to_values(row) for row in book.lots.values()])
    upsert(connection, tables.MOVEMENTS, [to_values(row) for row in book.movements.values()])
    upsert(connection, tables.CALLS, [to_values(row) for row in book.calls.values()])
    upsert(connection, tables.CALL_USES, [to_values(row) for row in book.uses.values()])
    tallies = [
        {"tenant_id": tenant_id, "field": field, "done": done}
        for (tenant_id, field), done in book.tallies.items()
    ]
    upsert(connection, tables.TALLIES, tallies)
    if book.records:
        connection.execute(
            tables.USAGE_RECORDS.insert(), [_whole_record(book, row) for row in book.records]
        )


def _load_accounts(connection: Connection, book: Book, tenants: set[str]) -> None:
    for row in _rows(connection, tables.ACCOUNTS.c.tenant_id, tenants):
        book.accounts[row["tenant_id"]] = AccountRow(**row)


def _load_tallies(
    connection: Connection, book: Book, column: Column[Any], *, values: Iterable[str]
) -> None:
    for row in _rows(connection, column, values):
        book.tallies[row["tenant_id"], row["field"]] = row["done"]


def _load_movements(
    connection: Connection, book: Book, column: Column[Any], *, values: Iterable[str]
) -> None:
    for row in _rows(connection, column, values):
        book.movements[row["tenant_id"], row["movement_id"]] = MovementRow(**row)


def _load_calls(connection: Connection, book: Book, opened: set[str]) -> None:
    for row in _rows(connection, tables.CALLS.c.opened_id, opened):
        call = read_call(row)
        book.calls[call.tenant_id, call.opened_id] = call
    for row in _rows(connection, tables.CALL_USES.c.opened_id, opened):
        use = UseRow(**row)
        book.uses[use.tenant_id, use.opened_id, use.part, use.purse_index] = use


def _load_lots(connection: Connection, book: Book, named: set[tuple[str, str]]) -> None:
    lots = tables.LOTS
    for piece in pieces(named):
        same = tuple_(lots.c.tenant_id, lots.c.lot_id).in_(piece)
        for row in map(plain_row, connection.execute(select(lots).where(same)).mappings()):
            book.lots[row["tenant_id"], row["lot_id"]] = LotRow(**row)


def _moved(entries: Iterable[Entry]) -> set[str]:
    moved = set()
    for entry in entries:
        match entry.change:
            case DirectDebit(debit_id=movement_id) | Refund(refund_id=movement_id):
                moved.add(movement_id)
            case _:
                pass
    return moved


def _lots_named(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    named = set()
    for entry in entries:
        match entry.change:
            case CallChange(lots=lots):
                named |= {(entry.tenant_id, lot_id) for lot_id, _ in lots}
            case LotAdded(lot_id=lot_id) | LotVoided(lot_id=lot_id) | Refund(lot_id=lot_id):
                named.add((entry.tenant_id, lot_id))
            case DirectDebit(lots=lots):
                named |= {(entry.tenant_id, lot_id) for lot_id, _ in lots}
            case LotsTaken(taken=taken):
                named |= {(entry.tenant_id, lot_id) for lot_id, _, _ in taken}
            case _:
                pass
    return named


def _rows(
    connection: Connection, column: Column[Any], values: Iterable[Any]
) -> Iterable[dict[str, Any]]:
    for piece in pieces(values):
        query = select(column.table).where(column.in_(piece))
        yield from map(plain_row, connection.execute(query).mappings())


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


def _whole_record(book: Book, row: dict[str, Any]) -> dict[str, Any]:
    # The account's currency is that of all its money.
    return {**row, "currency": book.accounts[row["tenant_id"]].currency}
