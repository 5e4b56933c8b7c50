"""Reading a book's rows from the tables, and writing them back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, select

from server.archive import tables
from server.archive.book import (
    AccountRow,
    Book,
    CallId,
    LotRow,
    MovementRow,
    UseRow,
    read_call,
    to_values,
    touched_tallies,
)
from server.archive.changes import (
    AccountCarried,
    CallChange,
    CallState,
    DirectDebit,
    Entry,
    IdRuledOut,
    LotAdded,
    LotsTaken,
    LotTakenBack,
    LotVoided,
    Refund,
)
from server.storage.sql.rows import pieces, plain_row, upsert

_Rows: TypeAlias = Iterable[dict[str, Any]]


def load_book(connection: Connection, entries: Sequence[Entry]) -> Book:
    """Read every row that these entries may change."""
    of_calls = [
        (entry.tenant_id, entry.change) for entry in entries if isinstance(entry.change, CallChange)
    ]
    book = Book()
    _load_accounts(connection, book, {entry.tenant_id for entry in entries})
    opened = {(tenant_id, change.opened_id) for tenant_id, change in of_calls}
    load_named_calls(connection, book, opened)
    _put_lots(book, _named(connection, tables.LOTS.c.lot_id, _lots_named(entries)))
    _put_movements(book, _named(connection, tables.MOVEMENTS.c.movement_id, _moved(entries)))
    touched = {
        (tenant_id, field) for tenant_id, change in of_calls for field in touched_tallies(change)
    }
    touched |= {
        (entry.tenant_id, entry.change.spend_field)
        for entry in entries
        if isinstance(entry.change, Refund) and entry.change.spend_field
    }
    _put_tallies(book, _named(connection, tables.TALLIES.c.field, touched))
    return book


def load_partition(connection: Connection, partition: int) -> Book:
    """Read all accounts of a partition, what is left of their lots, and their running calls."""
    book = Book()
    calls = tables.CALLS.c
    for row in _rows(connection, tables.ACCOUNTS.c.partition, [partition]):
        book.accounts[row["tenant_id"]] = AccountRow(**row)
    tenants = list(book.accounts)
    _put_lots(book, _rows(connection, tables.LOTS.c.tenant_id, tenants))
    _put_tallies(book, _rows(connection, tables.TALLIES.c.tenant_id, tenants))
    _put_movements(book, _rows(connection, tables.MOVEMENTS.c.tenant_id, tenants))
    query = select(calls.tenant_id, calls.opened_id).where(
        calls.tenant_id.in_(tenants), calls.state == CallState.LIVE.value
    )
    load_named_calls(connection, book, ((row[0], row[1]) for row in connection.execute(query)))
    return book


def load_calls(connection: Connection, book: Book, opened_ids: Sequence[str]) -> None:
    """Read calls of a partition's accounts by the decisions that began them."""
    for tenant_id in list(book.accounts):
        load_named_calls(connection, book, [(tenant_id, opened_id) for opened_id in opened_ids])


def load_named_calls(connection: Connection, book: Book, named: Iterable[CallId]) -> None:
    """Read calls by tenant and the decision that began each."""
    wanted = set(named)
    _put_calls(
        book,
        calls=_named(connection, tables.CALLS.c.opened_id, wanted),
        uses=_named(connection, tables.CALL_USES.c.opened_id, wanted),
    )


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


def _put_tallies(book: Book, rows: _Rows) -> None:
    for row in rows:
        book.tallies[row["tenant_id"], row["field"]] = row["done"]


def _put_movements(book: Book, rows: _Rows) -> None:
    for row in rows:
        book.movements[row["tenant_id"], row["movement_id"]] = MovementRow(**row)


def _put_calls(book: Book, *, calls: _Rows, uses: _Rows) -> None:
    for row in calls:
        call = read_call(row)
        book.calls[call.tenant_id, call.opened_id] = call
    for row in uses:
        use = UseRow(**row)
        book.uses[use.tenant_id, use.opened_id, use.part, use.purse_index] = use


def _put_lots(book: Book, rows: _Rows) -> None:
    for row in rows:
        book.lots[row["tenant_id"], row["lot_id"]] = LotRow(**row)


def _moved(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    moved = set()
    for entry in entries:
        match entry.change:
            case (
                DirectDebit(debit_id=movement_id)
                | Refund(refund_id=movement_id)
                | LotTakenBack(taking_id=movement_id)
                | IdRuledOut(change_id=movement_id)
            ):
                moved.add((entry.tenant_id, movement_id))
            case AccountCarried(movements=carried):
                moved |= {(entry.tenant_id, made[0]) for made in carried}
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
            case LotTakenBack(lot_id=lot_id, apart_id=apart_id):
                named |= {(entry.tenant_id, lot_id), (entry.tenant_id, apart_id)}
            case DirectDebit(lots=lots):
                named |= {(entry.tenant_id, lot_id) for lot_id, _ in lots}
            case AccountCarried(lots=carried):
                named |= {(entry.tenant_id, lot.lot_id) for lot in carried}
            case LotsTaken(taken=taken):
                named |= {(entry.tenant_id, lot_id) for lot_id, _, _ in taken}
            case _:
                pass
    return named


def _rows(connection: Connection, column: Column[Any], values: Iterable[Any]) -> _Rows:
    for piece in pieces(values):
        query = select(column.table).where(column.in_(piece))
        yield from map(plain_row, connection.execute(query).mappings())


def _named(connection: Connection, column: Column[Any], names: Iterable[tuple[str, str]]) -> _Rows:
    """Read rows by tenant and name, tenant by tenant.

    Names without their tenants, or pairs of them, would have SQLite read the table from end to end:
    longer each day.
    """
    of_tenant = column.table.c.tenant_id
    by_tenant: defaultdict[str, list[str]] = defaultdict(list)
    for tenant_id, name in names:
        by_tenant[tenant_id].append(name)
    for tenant_id in sorted(by_tenant):
        for piece in pieces(by_tenant[tenant_id]):
            query = select(column.table).where(of_tenant == tenant_id, column.in_(piece))
            yield from map(plain_row, connection.execute(query).mappings())


def _whole_record(book: Book, row: dict[str, Any]) -> dict[str, Any]:
    # The account's currency is that of all its money.
    return {**row, "currency": book.accounts[row["tenant_id"]].currency}
