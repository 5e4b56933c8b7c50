"""Ledgers to test, a clock to set, and builders that hide what a test does not care about."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from policy.decision import (
    ConcurrencyLimit,
    Counter,
    CreditsPurse,
    FreePurse,
    FreeReason,
    PoolPurse,
    Purse,
    SpendLimit,
)
from policy.facts import Rate
from policy.reasons import Reason
from server.ledger import CallKey, ExtendRequest, Ledger, OpenAccount, Question, ReserveRequest

START_MS = 1_800_000_000_000
YEAR_MS = 365 * 24 * 60 * 60 * 1_000
TENANT = "contoso"
DIGEST = "facts-1"
_numbers = itertools.count(1)


@dataclass(slots=True)
class ManualClock:
    """A clock that stands still until a test moves it."""

    time_ms: int = START_MS

    def now_ms(self) -> int:
        return self.time_ms

    def pass_seconds(self, seconds: int) -> None:
        self.time_ms += seconds * 1_000


@dataclass(frozen=True, slots=True)
class UnderTest:
    """A ledger and the clock it goes by."""

    ledger: Ledger
    clock: ManualClock


def a_rate(per_minute: int = 100_000, fee: int = 0, first: int = 60, following: int = 60) -> Rate:
    return Rate("rate-1", "USD", per_minute, fee, first, following)


def credits_(
    rate: Rate | None = None,
    *,
    overdraft: int = 0,
    post_paid: bool = False,
    limit: int | None = None,
    reason: Reason = Reason.CREDITS_EXHAUSTED,
) -> CreditsPurse:
    spend_limit = None if limit is None else SpendLimit("adele", "2027-01", limit)
    return CreditsPurse(rate or a_rate(), overdraft, post_paid, spend_limit, "credits", reason)


def by_the_second() -> CreditsPurse:
    """Credits of one micro a second, in increments of a second."""
    return credits_(a_rate(per_minute=60, first=1, following=1))


def pool(
    size: int = 600,
    *,
    pool_id: str = "plan-1",
    counter: str = "domestic",
    other_size: int | None = None,
    reason: Reason = Reason.ALLOWANCE_EXHAUSTED,
) -> PoolPurse:
    counters: tuple[Counter, ...] = (Counter(counter, size),)
    if other_size is not None:
        counters += (Counter("other", other_size),)
    return PoolPurse(pool_id, "2027-01", counter, counters, "domestic_plan", reason)


def free() -> FreePurse:
    return FreePurse(FreeReason.INBOUND, "none")


def a_decision_id() -> str:
    return f"decision{next(_numbers):012d}"


def a_question(
    call_id: str = "call-1",
    sequence: int = 1,
    *,
    content: str = "same",
    gateway: str = "sbc-1",
    tenant: str = TENANT,
    digest: str = DIGEST,
) -> Question:
    return Question(CallKey(tenant, gateway, call_id), sequence, content, a_decision_id(), digest)


def ask(
    call_id: str = "call-1",
    sequence: int = 1,
    *purses: Purse,
    want: int = 60,
    refusal: Reason | None = None,
    running_limit: int | None = None,
    **more: str,
) -> ReserveRequest:
    """Build a question for a reservation, paid by credits where no purse is given."""
    return ReserveRequest(
        question=a_question(call_id, sequence, **more),
        purses=purses or (() if refusal else (credits_(),)),
        refusal=refusal,
        want_seconds=want,
        context="adele|IT",
        concurrency=None if running_limit is None else ConcurrencyLimit("adele", running_limit),
    )


def dry(request: ReserveRequest) -> ReserveRequest:
    return request._replace(dry_run=True)


def extend(
    call_id: str, sequence: int, used: int, *, want: int = 60, refusal: Reason | None = None
) -> ExtendRequest:
    return ExtendRequest(a_question(call_id, sequence), used, want, refusal)


def an_account(
    balance: int | None = 0,
    *,
    tenant: str = TENANT,
    digest: str = DIGEST,
    prepaid: bool = True,
    expire_ms: int = START_MS + YEAR_MS,
) -> OpenAccount:
    return OpenAccount(tenant, "USD", digest, prepaid, balance, expire_ms)
