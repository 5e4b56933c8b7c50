"""The rows that a batch of entries changes, held in memory while they are worked on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from server.archive.changes import ArchivedPurse, CallChange, CallDescription, CallState


@dataclass(slots=True)
class AccountRow:
    """The sums of one account. Money that is reserved counts as available here."""

    tenant_id: str
    partition: int
    currency: str
    prepaid: bool
    digest: str
    version: int = 0
    frozen: bool = False
    credit_limit_micros: int = 0
    # When the last of these two was asked for; 0 where nobody said.
    freezing_ms: int = 0
    limiting_ms: int = 0
    has_balance: bool = False
    funded_micros: int = 0
    post_paid_micros: int = 0
    debited_micros: int = 0
    refunded_micros: int = 0
    expired_micros: int = 0
    voided_micros: int = 0

    @property
    def balance_micros(self) -> int:
        """Money not yet spent; below 0 where it was overdrawn."""
        came = self.funded_micros + self.post_paid_micros + self.refunded_micros
        return came - self.debited_micros - self.expired_micros - self.voided_micros


@dataclass(slots=True)
class LotRow:
    """One purchase of credits and what is left of it."""

    tenant_id: str
    lot_id: str
    micros: int
    left_micros: int
    purchase_ms: int
    expire_ms: int
    voided: bool = False
    # What left it without being spent: expired or voided.
    taken_micros: int = 0

    @property
    def order(self) -> tuple[int, int, str]:
        """Oldest first: by expiry, then by purchase."""
        return self.expire_ms, self.purchase_ms, self.lot_id


# The text of a movement that is never made.
RULED_OUT = "ruled_out 0"


@dataclass(frozen=True, slots=True)
class MovementRow:
    """One debit or refund without a call, and how the ledger remembers it."""

    tenant_id: str
    movement_id: str
    text: str
    time_ms: int
    micros: int


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a usage record of a call needs besides its figures."""

    purses: tuple[ArchivedPurse, ...]
    description: CallDescription


@dataclass(slots=True)
class CallRow:
    """One call, as the last entry about it says."""

    tenant_id: str
    opened_id: str
    gateway_id: str
    call_id: str
    state: CallState
    part: int
    purses_text: str
    facts: CallFacts
    start_ms: int
    report_ms: int
    used_seconds: int
    overrun_seconds: int = 0
    unpaid_seconds: int = 0
    unpaid_micros: int = 0
    implausible_seconds: int = 0


@dataclass(slots=True)
class UseRow:
    """What one purse paid of one call, and what of it stands in usage records."""

    tenant_id: str
    opened_id: str
    part: int
    purse_index: int
    seconds: int = 0
    micros: int = 0
    recorded_seconds: int = 0
    recorded_micros: int = 0


CallId = tuple[str, str]


@dataclass(slots=True)
class Book:
    """All rows that a batch may touch; each is read before and written after, once."""

    accounts: dict[str, AccountRow] = field(default_factory=dict)
    tallies: dict[tuple[str, str], int] = field(default_factory=dict)
    lots: dict[tuple[str, str], LotRow] = field(default_factory=dict)
    movements: dict[tuple[str, str], MovementRow] = field(default_factory=dict)
    calls: dict[CallId, CallRow] = field(default_factory=dict)
    uses: dict[tuple[str, str, int, int], UseRow] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    def take_over(self, other: Book) -> None:
        """Take over the rows of another book, read in the same transaction."""
        self.accounts |= other.accounts
        self.tallies |= other.tallies
        self.lots |= other.lots
        self.movements |= other.movements
        self.calls |= other.calls
        self.uses |= other.uses

    def lots_of(self, tenant_id: str) -> list[LotRow]:
        """List a tenant's lots, oldest first."""
        lots = (lot for (tenant, _), lot in self.lots.items() if tenant == tenant_id)
        return sorted(lots, key=lambda lot: lot.order)

    def uses_of(self, call: CallRow) -> list[UseRow]:
        """List what the purses of a call paid, in their order, since these purses pay."""
        count = len(call.facts.purses)
        keys = ((call.tenant_id, call.opened_id, call.part, index) for index in range(count))
        return [self.uses[key] for key in keys if key in self.uses]

    def use(self, call: CallRow, purse_index: int) -> UseRow:
        """Find what one purse of a call paid; a new row where it paid nothing yet."""
        key = (call.tenant_id, call.opened_id, call.part, purse_index)
        return self.uses.setdefault(key, UseRow(*key))

    def add_to_tally(self, tenant_id: str, tally: str, amount: int) -> None:
        """Count seconds or micros on a tally; one without a name counts nothing."""
        if tally:
            key = (tenant_id, tally)
            self.tallies[key] = self.tallies.get(key, 0) + amount


def facts_of(change: CallChange) -> CallFacts:
    """Keep of a change what later usage records need."""
    return CallFacts(change.purses, change.description)


def to_values(row: AccountRow | LotRow | MovementRow | CallRow | UseRow) -> dict[str, Any]:
    """Write a row as the values of its columns."""
    values = {name: getattr(row, name) for name in row.__slots__}
    if isinstance(row, CallRow):
        values["facts"] = msgspec.json.encode(row.facts).decode()
        values["state"] = row.state.value
    return values


def read_call(values: dict[str, Any]) -> CallRow:
    """Read a row of calls."""
    facts = msgspec.json.decode(values.pop("facts"), type=CallFacts)
    return CallRow(**{**values, "state": CallState(values["state"])}, facts=facts)


def touched_tallies(change: CallChange) -> set[str]:
    """List the tallies that a call may be counted on."""
    return {purse.tally for purse in change.purses if purse.tally}
