"""What the archive is told: entries of a journal, and what each changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policy.facts import Rate
from server.ledger.requests import Use


class CallState(StrEnum):
    """Where a call is. `LOST` is one that was running in a store that had to be rebuilt."""

    LIVE = "live"
    SETTLED = "settled"
    RELEASED = "released"
    ENDED = "ended"
    EXPIRED = "expired"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Whether its usage is complete, as far as is known."""
        return self is not CallState.LIVE


@dataclass(frozen=True, slots=True)
class ArchivedPurse:
    """A purse of a call. `kind` is "free", "pool" or "credits"; `tally` is where it is counted.

    The tally of a pool counts seconds, that of credits micros (of a spend limit; empty without).
    `size_seconds` is how large the pool was when the call was asked about; 0 where it is not known.
    """

    kind: str
    tally: str = ""
    capability: str = ""
    pool_id: str = ""
    period: str = ""
    rate: Rate | None = None
    post_paid: bool = False
    size_seconds: int = 0
    # How far below zero it may pay.
    overdraft_micros: int = 0


@dataclass(frozen=True, slots=True)
class CallDescription:
    """What a usage record says of a call besides its figures; empty where it is not known."""

    account_id: str = ""
    conference_id: str = ""
    user_location: str = ""
    object_id: str = ""
    upn: str = ""
    display_name: str = ""
    caller_id: str = ""
    call_type: str = ""
    call_direction: str = ""
    number_type: str = ""
    domestic: str = ""
    destination_dialed: str = ""
    destination_number: str = ""
    external_country: str = ""


@dataclass(frozen=True, slots=True)
class CallChange:
    """A call as it was after one change; everything in it counts from the call's beginning.

    `purses_text` stands for the purses: another text means that uses are counted anew, from
    `before`, which other entries have debited already. `lots` are micros taken by this change.
    """

    opened_id: str
    gateway_id: str
    call_id: str
    state: CallState
    purses_text: str
    purses: tuple[ArchivedPurse, ...]
    uses: tuple[Use, ...]
    before: tuple[Use, ...]
    used_seconds: int
    overrun_seconds: int
    unpaid_seconds: int
    unpaid_micros: int
    # The account had no balance when the call began: what it costs is invoiced.
    unfunded: bool
    lots: tuple[tuple[str, int], ...]
    description: CallDescription
    # The ledger had forgotten the call, and goes on from what the archive had debited: `before`.
    taken_up: bool = False
    # Reported beyond what can have passed, and held apart.
    implausible_seconds: int = 0
    # Other purses pay from this change on, as from any new question.
    changes_purses: bool = False


@dataclass(frozen=True, slots=True)
class AccountDescribed:
    """An account was opened, or its facts changed."""

    currency: str
    prepaid: bool
    digest: str


@dataclass(frozen=True, slots=True)
class LotAdded:
    """Money came in, once for each lot id."""

    lot_id: str
    micros: int
    expire_ms: int


@dataclass(frozen=True, slots=True)
class LotVoided:
    """A lot was taken out of use; what is left of it goes with `LotsTaken`."""

    lot_id: str


@dataclass(frozen=True, slots=True)
class LotTakenBack:
    """A provider took back some of a lot's price, once for each id; what was there is set apart."""

    taking_id: str
    micros: int
    lot_id: str
    found_micros: int
    apart_id: str


@dataclass(frozen=True, slots=True)
class DirectDebit:
    """Money was taken without a call, once for each id, out of these lots."""

    debit_id: str
    micros: int
    lots: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Refund:
    """Debited money was given back, once for each id.

    It was asked for as money of the lot `of_lot`, and went into `lot_id`; that is empty where it
    had been invoiced: then less is. So much of it counts for a spend limit no longer.
    """

    refund_id: str
    micros: int
    of_lot: str
    lot_id: str
    expire_ms: int
    spend_field: str = ""
    freed_micros: int = 0


@dataclass(frozen=True, slots=True)
class IdRuledOut:
    """Nothing is made by this id of a lot, debit or refund any more; no money moved."""

    change_id: str


@dataclass(frozen=True, slots=True)
class AccountFrozen:
    """Nothing more is granted of an account, or again; 0: when that was asked for is not known."""

    frozen: bool
    asked_ms: int = 0


@dataclass(frozen=True, slots=True)
class CreditLimitSet:
    """An account may go so far below zero, whatever its facts say.

    0: when that was asked for is not known.
    """

    micros: int
    asked_ms: int = 0


@dataclass(frozen=True, slots=True)
class LotsTaken:
    """Lots lost what nobody used: (lot id, micros, whether it was voided rather than expired)."""

    taken: tuple[tuple[str, int, bool], ...]


@dataclass(frozen=True, slots=True)
class CarriedLot:
    """A lot as the store has it."""

    lot_id: str
    micros: int
    left_micros: int
    purchase_ms: int
    expire_ms: int
    voided: bool


@dataclass(frozen=True, slots=True)
class AccountCarried:
    """An account as its store has it, which lost what it had written down of that; all in micros.

    Lots, tallies and what is known of movements (id, how the ledger knows it, when, micros) are
    those that the archive has otherwise or not at all.
    """

    prepaid: bool
    digest: str
    version: int
    frozen: bool
    credit_limit: int
    has_balance: bool
    post_paid: int
    funded: int
    debited: int
    refunded: int
    expired: int
    voided: int
    lots: tuple[CarriedLot, ...]
    tallies: tuple[tuple[str, int], ...]
    movements: tuple[tuple[str, str, int, int], ...]
    # When its freeze and its limit were asked for, as far as that is known.
    freezing_ms: int = 0
    limiting_ms: int = 0


@dataclass(frozen=True, slots=True)
class PartitionReopened:
    """A partition began, or began again after its store was lost; no money moved."""


Change = (
    CallChange
    | AccountCarried
    | AccountDescribed
    | AccountFrozen
    | CreditLimitSet
    | LotAdded
    | LotVoided
    | LotTakenBack
    | LotsTaken
    | DirectDebit
    | Refund
    | IdRuledOut
    | PartitionReopened
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a partition's journal. `previous_nonce` is that of the entry before it."""

    n: int
    nonce: str
    previous_nonce: str
    time_ms: int
    kind: str
    tenant_id: str
    body: str
    change: Change


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition's journal is archived: up to and with entry `n` of `epoch`."""

    epoch: int
    n: int
    nonce: str
