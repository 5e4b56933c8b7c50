"""The ledger's contract: it takes from the purses, in their order, what there is.

Two ledgers keep it: the one in Redis, one atomic step a verb, and the reference model it is compared
with. Neither knows a rule; money is whole micros, time whole seconds or milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policy.decision import ConcurrencyLimit, Purse, Reason


class LedgerError(Exception):
    """Anything the ledger could not do."""


class LedgerUnavailable(LedgerError):
    """Redis is away, slow, read-only or full; nothing is known to have happened. Ask again with the same sequence."""


class AccountUnknown(LedgerError):
    """No account of this tenant was ever opened here; it is unknown, not empty."""


class RequestReused(LedgerError):
    """This call and sequence were asked before with another content. Nothing changed."""


class FactsStale(LedgerError):
    """The account knows other facts than the question was decided with; nothing was written."""

    def __init__(self, wanted_digest: str) -> None:
        super().__init__(wanted_digest)
        self.wanted_digest = wanted_digest


@dataclass(frozen=True, slots=True)
class CallKey:
    """Which call: the payer's tenant, the gateway that carries it, and its own id there."""

    tenant_id: str
    gateway_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Question:
    """One request about a call: its place in the call's sequence and what it was asked with.

    `fingerprint` stands for the normalised content; `decision_id` names the answer if this is the
    first time it is asked (16 to 32 characters of [a-z0-9]); `facts_digest` is what it was decided with.
    """

    call: CallKey
    sequence: int
    fingerprint: str
    decision_id: str
    facts_digest: str


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """A question for a reservation: what the rules said of it.

    `refusal` is set where they said no; then there are no purses and only the answer is kept.
    `context` is what the answer is rendered from besides the outcome: short strings (64 bytes each
    at most) that the ledger keeps and journals without reading them. `explanation` is longer, kept
    only for a question that asked for it.
    """

    question: Question
    purses: tuple[Purse, ...]
    refusal: Reason | None
    want_seconds: int
    context: tuple[str, ...]
    concurrency: ConcurrencyLimit | None = None
    explanation: bytes = b""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the call that one purse pays, and what is held of that purse for it."""

    purse_index: int
    from_second: int
    to_second: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger said, as it was stored; asked again it is the same to the last byte.

    Granted: `segments` are not empty and `reason` is None. Refused: `reason` is set and
    `shortfall_micros` says what credits would have needed more, 0 where money was not the matter.
    `available_micros` and `pool_left_seconds` are what was left after this answer (None: no such
    purse or no balance). `superseded` marks an answer to a sequence older than the last.
    """

    decision_id: str
    decide_time_ms: int
    segments: tuple[Segment, ...]
    final: bool
    reason: Reason | None
    shortfall_micros: int
    available_micros: int | None
    pool_left_seconds: int | None
    report_by_ms: int
    expire_time_ms: int
    context: tuple[str, ...]
    explanation: bytes = b""
    superseded: bool = False

    @property
    def granted_seconds(self) -> int:
        """Seconds since answer that the call may last on this grant."""
        return self.segments[-1].to_second if self.segments else 0


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account as the facts describe it; opening it again changes digest and flags, never money.

    `opening_balance_micros` becomes the lot `opening:<tenant>`, once in the life of the store; None
    opens without ever funding. `prepaid` is False where there is no balance at all.
    """

    tenant_id: str
    currency: str
    facts_digest: str
    prepaid: bool
    opening_balance_micros: int | None
    # When the opening lot expires; 12 months after its purchase by default.
    opening_expire_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Money of one account. `balance` = available + reserved; both None where there is no balance."""

    tenant_id: str
    currency: str
    available_micros: int | None
    reserved_micros: int
    funded_micros: int
    debited_micros: int
    expired_micros: int

    @property
    def balance_micros(self) -> int | None:
        """Money not yet spent."""
        if self.available_micros is None:
            return None
        return self.available_micros + self.reserved_micros


class Ledger(Protocol):
    """What every ledger does. Each verb is one atomic step; all raise `LedgerUnavailable`."""

    async def open_account(self, account: OpenAccount) -> None:
        """Open or re-describe one account. Safe to repeat."""

    async def reserve(self, request: ReserveRequest) -> Answer:
        """Take from the purses in order, once per (call, sequence).

        Raises `RequestReused`, `FactsStale`, `AccountUnknown`. A refusal is an `Answer`.
        """

    async def release(self, question: Question) -> Answer:
        """Give back all a call holds: the called party never answered. Costs nothing."""

    async def expire(self, tenant_partition: int, limit: int) -> int:
        """Give back what lapsed in one partition, `limit` calls at most; say how many."""

    async def read_balance(self, tenant_id: str) -> Balance:
        """Read one account. Raises `AccountUnknown`."""


__all__ = [
    "AccountUnknown",
    "Answer",
    "Balance",
    "CallKey",
    "FactsStale",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "OpenAccount",
    "Question",
    "RequestReused",
    "ReserveRequest",
    "Segment",
]
