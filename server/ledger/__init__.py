"""The ledger's contract: it takes from the purses, in their order, what there is, in one step.

Two ledgers keep it: the one in Redis, one atomic step a verb, and the reference model it is
compared with. Neither knows a rule; money is whole micros, time whole seconds or milliseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from server.ledger.answers import Answer, Balance, Segment
from server.ledger.errors import (
    AccountUnknown,
    BalanceTooLarge,
    CallAnswered,
    CallOver,
    CallUnknown,
    CurrencyChanged,
    DebitUnknown,
    FactsStale,
    FundsMissing,
    LedgerDamaged,
    LedgerError,
    LedgerUnavailable,
    LotDue,
    LotUnknown,
    PartitionAhead,
    PartitionNotOpen,
    RefundTooLarge,
    RequestReused,
    RuledOut,
    Superseded,
)
from server.ledger.requests import (
    FLOOR_SECONDS,
    NOT_ASKED,
    PAYING,
    CallKey,
    DirectDebit,
    ExtendRequest,
    OpenAccount,
    Question,
    Refund,
    ReserveRequest,
    TakeBack,
    TopUp,
    Use,
    fingerprint,
)


class Ledger(Protocol):
    """What every ledger does. Each verb is one atomic step; all raise `LedgerUnavailable`."""

    async def open_account(self, account: OpenAccount) -> int:
        """Open or re-describe one account; say which version of what describes it that is.

        Each that differs has a higher one. Safe to repeat. Raises `CurrencyChanged`.
        """

    async def reserve(self, request: ReserveRequest) -> Answer:
        """Take from the purses in order, once per (call, sequence).

        Raises `RequestReused`, `FactsStale`, `AccountUnknown`, and `CallUnknown` where a running
        call is announced that nobody asked the archive for. A refusal is an `Answer`.
        """

    async def reserve_many(
        self, requests: Sequence[ReserveRequest], *, all_or_nothing: bool
    ) -> tuple[Answer, ...]:
        """Take for several calls of one tenant in one step: all of them, or as many as fit.

        Where not all fit and all or nothing was asked, each is refused for the first one's reason.
        Raises what `reserve` raises, then for all of them, and `ValueError` where two legs are
        about one call, or their tenants differ.
        """

    def extend(self, request: ExtendRequest) -> Awaitable[Answer]:
        """Debit what was used and take more; a refusal ends the call and gives the rest back.

        A call that had lapsed is charged, marked late, and goes on. Raises `RequestReused`,
        `FactsStale`, `CallUnknown`, `CallOver`.
        """

    def look(self, call: CallKey) -> Awaitable[Answer]:
        """Read a call as it stands, changing nothing: its last answer, marked superseded.

        Raises `CallUnknown`.
        """

    def settle(self, question: Question, used_seconds: int) -> Awaitable[Answer]:
        """Debit all that a call used, late also after it lapsed, and give back the rest.

        Raises `RequestReused`, `CallUnknown`, `CallOver`.
        """

    def release(self, question: Question) -> Awaitable[Answer]:
        """Give back all a call holds: the called party never answered. Costs nothing.

        The segments of the answer are those given back. Raises `RequestReused`, `CallUnknown`,
        `CallOver`, and `CallAnswered` where use was reported.
        """

    async def expire(self, tenant_partition: int, limit: int) -> int:
        """Give back what lapsed in one partition, `limit` calls at most; say how many."""

    async def top_up(self, lot: TopUp) -> None:
        """Fund an account with a lot, once per lot id; what is owed is paid out of it first.

        Raises `RequestReused` where the id stands for another lot, `RuledOut`, `AccountUnknown`;
        where the lot would be over at once `LotDue`, or `PartitionAhead` if only by its partition's
        time; `BalanceTooLarge` where the account cannot hold so much.
        """

    async def void_lot(self, tenant_id: str, lot_id: str) -> None:
        """Take a lot out of use: what no running call holds at once, the rest as it comes back.

        Safe to repeat. Raises `LotUnknown`, `AccountUnknown`.
        """

    async def take_back(self, taking: TakeBack) -> int:
        """Void what a provider took back of a lot's price; say how much was there, in micros.

        Once per taking id: the same again gets the same answer. It is set apart in a voided lot:
        what no running call holds goes at once, the rest as it comes back. Raises `LotUnknown`,
        `RequestReused`, `AccountUnknown`.
        """

    async def debit(self, debit: DirectDebit) -> None:
        """Take money that no call holds, once per debit id: all of it or nothing.

        Raises `FundsMissing`, `RequestReused`, `RuledOut`, `AccountUnknown`.
        """

    async def refund(self, refund: Refund) -> None:
        """Give debited money back, once per refund id.

        Raises `RefundTooLarge`, `BalanceTooLarge`, `RequestReused`, `RuledOut`, `DebitUnknown`,
        `AccountUnknown`.
        """

    async def rule_out(self, tenant_id: str, change_id: str) -> bool:
        """Let no lot, debit or refund be made by an id any more; False where one was.

        Who comes late with it is told `RuledOut`. Safe to repeat. Raises `AccountUnknown`.
        """

    async def freeze(self, tenant_id: str, *, frozen: bool, asked_ms: int | None = None) -> None:
        """Grant nothing more of an account, or again. What runs keeps what it has been granted.

        `asked_ms` orders requests: what was asked for before the last one changes nothing, however
        late it comes. Raises `Superseded` then, and `AccountUnknown`.
        """

    async def set_credit_limit(
        self, tenant_id: str, micros: int, *, asked_ms: int | None = None
    ) -> None:
        """Let an account go so far below zero, where its facts allow less; 0 as they allow.

        An account that was never funded has a balance from then on. In order as `freeze` is.
        Raises `Superseded` and `AccountUnknown`.
        """

    async def read_balance(self, tenant_id: str) -> Balance:
        """Read one account. Raises `AccountUnknown`."""


__all__ = [
    "FLOOR_SECONDS",
    "NOT_ASKED",
    "PAYING",
    "AccountUnknown",
    "Answer",
    "Balance",
    "BalanceTooLarge",
    "CallAnswered",
    "CallKey",
    "CallOver",
    "CallUnknown",
    "CurrencyChanged",
    "DebitUnknown",
    "DirectDebit",
    "ExtendRequest",
    "FactsStale",
    "FundsMissing",
    "Ledger",
    "LedgerDamaged",
    "LedgerError",
    "LedgerUnavailable",
    "LotDue",
    "LotUnknown",
    "OpenAccount",
    "PartitionAhead",
    "PartitionNotOpen",
    "Question",
    "Refund",
    "RefundTooLarge",
    "RequestReused",
    "ReserveRequest",
    "RuledOut",
    "Segment",
    "Superseded",
    "TakeBack",
    "TopUp",
    "Use",
    "fingerprint",
]
