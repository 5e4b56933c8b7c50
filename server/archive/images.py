"""What the archive gives back to a ledger: the accounts to open again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.archive import tables
from server.archive.book import AccountRow, Book, LotRow
from server.archive.changes import CallState

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
