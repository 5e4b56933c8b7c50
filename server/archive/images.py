"""What the archive gives back to a ledger, or is compared with it by: accounts, and calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from server.archive.book import AccountRow, Book, LotRow, MovementRow
from server.ledger.maintenance import TIMED


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


class PaidCall(NamedTuple):
    """What the purses that pay a call now paid for it."""

    seconds: int
    micros: int


@dataclass(frozen=True, slots=True)
class Preview:
    """All accounts of a partition, and calls by the decision that began each."""

    accounts: tuple[AccountImage, ...]
    paid: Mapping[str, PaidCall]


def paid_of(book: Book) -> dict[str, PaidCall]:
    """Say what was paid for every call in a book."""
    return {
        call.opened_id: PaidCall(
            sum(use.seconds for use in book.uses_of(call)),
            sum(use.micros for use in book.uses_of(call)),
        )
        for call in book.calls.values()
    }


def image_of(book: Book) -> tuple[AccountImage, ...]:
    """Take the image of every account in a book."""
    return tuple(
        AccountImage(
            account=account,
            lots=tuple(book.lots_of(tenant_id)),
            movements=tuple(
                sorted(
                    (m, _known_text(row))
                    for (t, m), row in book.movements.items()
                    if t == tenant_id
                )
            ),
            tallies=tuple(
                sorted((f, done) for (t, f), done in book.tallies.items() if t == tenant_id)
            ),
        )
        for tenant_id, account in sorted(book.accounts.items())
    )


def _known_text(row: MovementRow) -> str:
    # As the ledger writes it: with the time of what it forgets in the end.
    return f"{row.text} {row.time_ms}" if row.text.startswith(TIMED) else row.text
