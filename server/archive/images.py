"""What the archive gives back to a ledger: accounts to open again, and calls that it forgot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.archive import tables
from server.archive.book import AccountRow, Book, LotRow, read_call
from server.archive.changes import ArchivedPurse, CallState
from server.archive.rows import plain_row

# A call in one of these may go on; the others ended by a report of their own.
_MAY_GO_ON = (CallState.LIVE.value, CallState.EXPIRED.value, CallState.LOST.value)


@dataclass(frozen=True, slots=True)
class AccountImage:
    """All that an account is opened again with. Nothing is reserved in it."""

    account: AccountRow
    lots: tuple[LotRow, ...]
    tallies: tuple[tuple[str, int], ...]
    movements: tuple[tuple[str, str], ...]

    @property
    def available_micros(self) -> int | None:
        """What is there; None where money never came in."""
        return self.account.balance_micros if self.account.has_balance else None

    @property
    def owed_micros(self) -> int:
        """What was debited beyond every lot; the next one pays it first."""
        return max(0, -self.account.balance_micros)


@dataclass(frozen=True, slots=True)
class ClosedPartition:
    """What a partition is filled with anew: its accounts, and which calls it has to forget.

    `open_calls` are (tenant, call id) of calls that a store may still hold, or take reports for.
    """

    accounts: tuple[AccountImage, ...]
    open_calls: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ArchivedUse:
    """What one purse paid of a call, the connection fee included."""

    purse: ArchivedPurse
    seconds: int
    micros: int


@dataclass(frozen=True, slots=True)
class ArchivedCall:
    """What was debited for a call so far."""

    opened_id: str
    state: CallState
    used_seconds: int
    uses: tuple[ArchivedUse, ...]


def image_of(book: Book) -> tuple[AccountImage, ...]:
    """Take the image of every account in a book."""
    return tuple(
        AccountImage(
            account=account,
            lots=tuple(book.lots_of(tenant_id)),
            movements=tuple(
                sorted((m, row.text) for (t, m), row in book.movements.items() if t == tenant_id)
            ),
            tallies=tuple(
                sorted((f, done) for (t, f), done in book.tallies.items() if t == tenant_id)
            ),
        )
        for tenant_id, account in sorted(book.accounts.items())
    )


def find_call(
    connection: Connection, tenant_id: str, *, gateway_id: str, call_id: str
) -> ArchivedCall | None:
    """Find the newest call of this id that did not end by a report of its own."""
    calls, uses = tables.CALLS, tables.CALL_USES
    query = (
        select(calls)
        .where(
            calls.c.tenant_id == tenant_id,
            calls.c.call_id == call_id,
            calls.c.gateway_id == gateway_id,
        )
        .order_by(calls.c.start_ms.desc())
        .limit(1)
    )
    found = connection.execute(query).mappings().first()
    if found is None or found["state"] not in _MAY_GO_ON:
        return None
    call = read_call(plain_row(found))
    paid = select(uses).where(
        uses.c.tenant_id == tenant_id, uses.c.opened_id == call.opened_id, uses.c.part == call.part
    )
    rows = connection.execute(paid.order_by(uses.c.purse_index)).mappings()
    return ArchivedCall(
        call.opened_id,
        call.state,
        call.used_seconds,
        tuple(
            ArchivedUse(call.facts.purses[row["purse_index"]], row["seconds"], row["micros"])
            for row in rows
        ),
    )


def may_be_open(
    connection: Connection, tenant_ids: Sequence[str], since_ms: int
) -> tuple[tuple[str, str], ...]:
    """List calls that did not end by their own report, if a store may still know of them."""
    calls = tables.CALLS.c
    query = (
        select(calls.tenant_id, calls.call_id)
        .where(
            calls.tenant_id.in_(tenant_ids),
            calls.state.in_([*_MAY_GO_ON, CallState.ENDED.value]),
            calls.report_ms >= since_ms,
        )
        .distinct()
    )
    return tuple((row[0], row[1]) for row in connection.execute(query))
