"""Which pool an allowance belongs to, and how large the pools of a tenant are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from policy.facts import Capability, Plan, PoolBasis, ResourceAccount, User
from policy.rating import SECONDS_PER_MINUTE

DOMESTIC: Final = "domestic"
INTERNATIONAL: Final = "international"
ZONE_A: Final = "zone_a"
US_CA: Final = "us_ca"

# The tenant's one pool of meeting dial-out minutes, and the one of its US/Canada dial-out licences.
CONFERENCE_POOL: Final = "conf"
CONFERENCE_US_CA_POOL: Final = "conf-us-ca"
CONFERENCE_MINUTES_PER_LICENCE: Final = 60

# Usage countries whose holders of one plan share a pool, by the country that names it.
_SHARING_COUNTRY: Final = {"PR": "US"}


def plan_pool_id(plan: Plan, usage_country: str, account_id: str) -> str:
    """Name the pool of a plan: "US:MCOPSTN1", or one of the account's own where it is not pooled.

    Puerto Rico shares the pools of the US; Canada has its own.
    """
    if not plan.pooled:
        return f"user:{account_id}:{plan.capability}"
    return f"{_SHARING_COUNTRY.get(usage_country, usage_country)}:{plan.capability}"


@dataclass(slots=True)
class Holdings:
    """What the accounts of a tenant hold together, kept up to date as accounts come and go.

    Licences count whole from the moment they are there (no proration), also of frozen accounts.
    """

    plan_seconds: dict[tuple[str, str], int] = field(default_factory=dict)
    subscriptions: int = 0
    us_ca_licences: int = 0

    def copy(self) -> Holdings:
        """Make holdings that change apart from these."""
        return replace(self, plan_seconds=dict(self.plan_seconds))

    def add(self, account: User | ResourceAccount) -> None:
        """Count an account in."""
        self._count(account, 1)

    def remove(self, account: User | ResourceAccount) -> None:
        """Count an account out that was counted in as it is."""
        self._count(account, -1)

    def sizes(self, *, basis: PoolBasis, purchased_conferencing: int) -> dict[tuple[str, str], int]:
        """Sum the monthly seconds of every pool by (pool id, counter).

        The meeting pool counts Audio Conferencing subscriptions, the purchased ones or the assigned
        ones by `basis`; that of US/Canada dial-out licences always counts the assigned.
        """
        purchased = basis is PoolBasis.PURCHASED
        subscriptions = purchased_conferencing if purchased else self.subscriptions
        per_licence_seconds = CONFERENCE_MINUTES_PER_LICENCE * SECONDS_PER_MINUTE
        return self.plan_seconds | {
            (CONFERENCE_POOL, ZONE_A): subscriptions * per_licence_seconds,
            (CONFERENCE_US_CA_POOL, US_CA): self.us_ca_licences * per_licence_seconds,
        }

    def _count(self, account: User | ResourceAccount, sign: int) -> None:
        self.subscriptions += sign * (Capability.AUDIO_CONFERENCING in account.capabilities)
        self.us_ca_licences += sign * (Capability.AUDIO_CONFERENCING_US_CA in account.capabilities)
        for key, seconds in _plan_shares(account):
            total = self.plan_seconds.get(key, 0) + sign * seconds
            if total:
                self.plan_seconds[key] = total
            else:
                del self.plan_seconds[key]


def _plan_shares(account: User | ResourceAccount) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield what one account adds to the pools of its plan, by (pool id, counter)."""
    plan = account.plan
    if plan is None or plan.pay_as_you_go:
        return
    account_id = account.user_id if isinstance(account, User) else account.account_id
    pool_id = plan_pool_id(plan, account.usage_location, account_id)
    minutes_by_counter = (
        (DOMESTIC, plan.domestic_minutes),
        (INTERNATIONAL, plan.international_minutes),
    )
    for counter, minutes in minutes_by_counter:
        if minutes:
            yield (pool_id, counter), minutes * SECONDS_PER_MINUTE
