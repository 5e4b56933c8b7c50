"""What the rules answer: an admission with the purses that may pay, or a refusal and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from policy.destination import Destination
from policy.facts import Rate
from policy.reasons import Reason

# What is made for every call is a named tuple: as unchangeable as a frozen dataclass, and made in
# a third of the time.


class PayerKind(StrEnum):
    """Whose licences and purses decide."""

    USER = "user"
    ORGANIZER = "organizer"
    RESOURCE_ACCOUNT = "resource_account"
    TENANT = "tenant"


class Payer(NamedTuple):
    """The account that pays. `account_id` is the tenant's own id where the tenant pays."""

    kind: PayerKind
    tenant_id: str
    account_id: str


class FreeReason(StrEnum):
    """Why a purse costs nothing."""

    INBOUND = "inbound"
    TOLL_SUBSCRIPTION = "toll_subscription"
    FAIR_USE = "fair_use"
    CARRIER = "carrier"
    SHORT_CODE = "short_code"


class FreePurse(NamedTuple):
    """Pays for a call of any length and costs nothing."""

    why: FreeReason
    capability: str


class Counter(NamedTuple):
    """One allowance of a plan: how many seconds its pool holds this period."""

    name: str
    size_seconds: int


class PoolPurse(NamedTuple):
    """Minutes of a plan, of one calendar month in the tenant's time zone.

    The plan stops paying as soon as any of `counters` is used up (either-cap); the call is
    counted on `counter`, which is one of their names.
    """

    pool_id: str
    period: str
    counter: str
    counters: tuple[Counter, ...]
    capability: str
    # Said when this is the last purse and it is empty. It names why credits could not follow,
    # where a rule forbids them: then the licence is missing, not the allowance.
    exhausted_reason: Reason


class SpendLimit(NamedTuple):
    """The money one account may spend in one period, over all its calls."""

    account_id: str
    period: str
    limit_micros: int


class CreditsPurse(NamedTuple):
    """The tenant's credits, at a rate in the tenant's currency.

    `post_paid` has no floor under it: what is not covered by credits is debited all the same.
    """

    rate: Rate
    overdraft_micros: int
    post_paid: bool
    spend_limit: SpendLimit | None
    capability: str
    exhausted_reason: Reason


Purse = FreePurse | PoolPurse | CreditsPurse


class ConcurrencyLimit(NamedTuple):
    """How many calls one account may have running at a time."""

    account_id: str
    limit: int


@dataclass(frozen=True, slots=True)
class Check:
    """One rule that was asked: what it looked at, what it said. Collected only to explain."""

    rule: str
    passed: bool
    inputs: tuple[tuple[str, str], ...]
    finding: str


class Admission(NamedTuple):
    """The rules agree; only the balance can still say no."""

    payer: Payer
    purses: tuple[Purse, ...]
    destination: Destination
    # E.164 of the far end as the rules read it: the called number, or the caller of a call that
    # arrives; empty where that is not known.
    called_number: str
    call_type: str
    # The rate a caller is told: what credits would cost, also while a pool pays. None where
    # nothing is rated.
    rate: Rate | None
    concurrency: ConcurrencyLimit | None = None
    # True where the origin of a toll-free call is not known and a setting chose the rate.
    origin_assumed: bool = False
    checks: tuple[Check, ...] = ()


class Refusal(NamedTuple):
    """The rules say no; `reason` is the first of them in the order of precedence."""

    reason: Reason
    payer: Payer | None
    called_number: str = ""
    call_type: str = ""
    destination: Destination | None = None
    # The smallest thing that would turn this no into a yes, in words; empty where nothing would.
    remedy: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class EmergencyGrant:
    """An emergency call: never metered, never refused, nothing is stored."""

    dial_as: str
    location: str
