"""Which pool an allowance belongs to, and how large the pools of a tenant are."""

from __future__ import annotations

from collections.abc import Iterable
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


def pool_sizes(
    accounts: Iterable[User | ResourceAccount],
    *,
    basis: PoolBasis,
    purchased_conferencing: int,
) -> dict[tuple[str, str], int]:
    """Sum the monthly seconds of every pool of a tenant by (pool id, counter).

    The meeting pool counts Audio Conferencing subscriptions, the purchased ones or the assigned
    ones by `basis`; the pool of US/Canada dial-out licences always counts the assigned. Licences
    count whole from the moment they are there (no proration), those of frozen accounts too.
    """
    sizes: dict[tuple[str, str], int] = {}
    subscriptions = us_ca_licences = 0
    for account in accounts:
        _add_plan(sizes, account)
        subscriptions += Capability.AUDIO_CONFERENCING in account.capabilities
        us_ca_licences += Capability.AUDIO_CONFERENCING_US_CA in account.capabilities
    if basis is PoolBasis.PURCHASED:
        subscriptions = purchased_conferencing
    per_licence_seconds = CONFERENCE_MINUTES_PER_LICENCE * SECONDS_PER_MINUTE
    sizes[CONFERENCE_POOL, ZONE_A] = subscriptions * per_licence_seconds
    sizes[CONFERENCE_US_CA_POOL, US_CA] = us_ca_licences * per_licence_seconds
    return sizes


def _add_plan(sizes: dict[tuple[str, str], int], account: User | ResourceAccount) -> None:
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
            key = (pool_id, counter)
            sizes[key] = sizes.get(key, 0) + minutes * SECONDS_PER_MINUTE
