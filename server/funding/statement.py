"""What moved a tenant's balance, line by line, from the archived journal; and any past balance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, tuple_

from server.archive import tables
from server.ledger.journal import CALL_KINDS, Movement
from server.ledger.journal.entries import JournalEntry

# Entries that are looked at for one page: most of a busy tenant's hold money and move none.
_MOST_LOOKED_AT = 5_000
_NO_BALANCE = "-"
# These tell how an account is described, and nothing of its money.
_WITHOUT_MONEY = ("opened", "described", "reopened", "ruled_out")
CORRECTION = "correction"

Place = tuple[int, int, int]
_JOURNAL = tables.JOURNAL.c
_ORDER = (_JOURNAL.time_ms, _JOURNAL.epoch, _JOURNAL.n)


@dataclass(frozen=True, slots=True)
class Line:
    """One movement. `kind` is that of the journal's entry, or `CORRECTION`.

    `amount_micros` is by how much the balance changed, so that each line's balance is the one
    before it plus its amount.
    """

    time_ms: int
    kind: str
    amount_micros: int
    balance_micros: int | None
    call_id: str = ""
    decision_id: str = ""
    context: str = ""
    lot_id: str = ""
    reference_id: str = ""
    # Of a lot that went: it was voided, and did not expire.
    voided: bool = False


@dataclass(frozen=True, slots=True)
class StatementQuestion:
    """Whose movements, from a time on and before another; after a place of an earlier page."""

    tenant_id: str
    start_ms: int
    end_ms: int
    limit: int
    after: Place | None = None


@dataclass(slots=True)
class Statement:
    """Some lines; `after` is where the next page begins, None where there is none."""

    opening_micros: int | None
    lines: list[Line] = field(default_factory=list)
    after: Place | None = None


def read_statement(connection: Connection, question: StatementQuestion) -> Statement:
    """Read one page of a statement."""
    before = question.after or (question.start_ms, 0, 0)
    opening = _balance_at_place(connection, question.tenant_id, before)
    statement = Statement(opening)
    query = (
        select(tables.JOURNAL)
        .where(
            _JOURNAL.tenant_id == question.tenant_id,
            _JOURNAL.kind.not_in(_WITHOUT_MONEY),
            # Both, so that an index on the time is of use.
            *(_JOURNAL.time_ms >= before[0], _JOURNAL.time_ms < question.end_ms),
            tuple_(*_ORDER) > before,
        )
        .order_by(*_ORDER)
        .limit(_MOST_LOOKED_AT)
    )
    balance = opening
    for looked_at, row in enumerate(connection.execute(query).mappings(), start=1):
        entry = entry_of(row)
        after = balance_after(entry)
        statement.lines += _lines(Movement(entry), balance, after)
        balance = after
        if len(statement.lines) >= question.limit or looked_at == _MOST_LOOKED_AT:
            statement.after = (entry.time_ms, entry.epoch, entry.n)
            break
    return statement


def balance_at(connection: Connection, tenant_id: str, time_ms: int) -> tuple[int, int] | None:
    """Read what was available and reserved at a past time; None where there was no balance."""
    entry = _last_before(connection, tenant_id, (time_ms + 1, 0, 0))
    fields = {} if entry is None else entry.fields
    available = fields.get("available", _NO_BALANCE)
    if available == _NO_BALANCE:
        return None
    return int(available), int(fields["reserved"])


def balance_after(entry: JournalEntry) -> int | None:
    """Say what was not spent yet after an entry; None where there was no balance."""
    fields = entry.fields
    available = fields.get("available", _NO_BALANCE)
    return None if available == _NO_BALANCE else int(available) + int(fields["reserved"])


def _balance_at_place(connection: Connection, tenant_id: str, place: Place) -> int | None:
    entry = _last_before(connection, tenant_id, place, itself=True)
    return None if entry is None else balance_after(entry)


def _last_before(
    connection: Connection, tenant_id: str, place: Place, *, itself: bool = False
) -> JournalEntry | None:
    order = tuple_(*_ORDER)
    query = (
        select(tables.JOURNAL)
        .where(
            _JOURNAL.tenant_id == tenant_id,
            _JOURNAL.kind.not_in(_WITHOUT_MONEY),
            _JOURNAL.time_ms <= place[0],
            order <= place if itself else order < place,
        )
        .order_by(*(column.desc() for column in _ORDER))
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else entry_of(row)


def _lines(movement: Movement, before: int | None, after: int | None) -> Iterator[Line]:
    """Tell what one entry moved; what no entry told of comes first, as a correction."""
    change = told = (after or 0) - (before or 0)
    # What a call is invoiced, and refunds of it, was never in the balance: no sum to compare.
    if movement.kind not in CALL_KINDS and (before, after) != (None, None):
        told = sum(move.added_micros - move.debited_micros for move in movement.moves)
    if told != change:
        balance = None if after is None else after - told
        yield Line(movement.entry.time_ms, CORRECTION, change - told, balance)
    if told or movement.debited_micros:
        yield _line(movement, told, after)


def _line(movement: Movement, amount: int, after: int | None) -> Line:
    of_call = movement.kind in CALL_KINDS
    return Line(
        time_ms=movement.entry.time_ms,
        kind=movement.kind,
        amount_micros=amount,
        balance_micros=after,
        call_id=movement.call_id if of_call else "",
        decision_id=movement.fields.get("opened", ""),
        context=movement.context if of_call else "",
        lot_id=_lot_of(movement),
        reference_id=movement.reference_id,
        voided=movement.fields.get("lots", "").endswith("\x1fvoided"),
    )


def _lot_of(movement: Movement) -> str:
    named = [move.lot_id for move in movement.moves if move.lot_id]
    return movement.lot_id or (named[0] if len(named) == 1 else "")


def entry_of(row: Mapping[Any, Any]) -> JournalEntry:
    """Read an archived entry as the journal had it."""
    names = ("epoch", "n", "nonce", "previous_nonce", "time_ms", "kind", "body")
    return JournalEntry(**{name: row[name] for name in names}, small_until_ms=0)
