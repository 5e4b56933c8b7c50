"""Which minutes may pay a call: the pools of plans and of meetings, in their order."""

from __future__ import annotations

from typing import Final

from policy.decision import Counter, PoolPurse, Reason
from policy.destination import WORLD, NumberClass
from policy.domestic import is_domestic
from policy.enquiry import Enquiry
from policy.facts import Capability, Connectivity, Plan, ResourceAccount, User
from policy.licence import pays_per_minute
from policy.month import month
from policy.payer import MEETING_KINDS
from policy.pools import (
    CONFERENCE_POOL,
    CONFERENCE_US_CA_POOL,
    DOMESTIC,
    INTERNATIONAL,
    US_CA,
    ZONE_A,
    plan_pool_id,
)
from policy.rating import SECONDS_PER_MINUTE
from policy.restriction import leads_to_us_ca_toll_free, premium_treatment

# The licences that pay, as usage records name them.
CONFERENCE_CAPABILITY: Final = "MCOMEETADD"
CONFERENCE_US_CA_CAPABILITY: Final = "MCOMEETADD_DIALOUT_US"

_US_CA_COUNTRIES: Final = frozenset({"US", "CA"})
_NEVER_INCLUDED: Final = frozenset(
    {
        NumberClass.PREMIUM,
        NumberClass.SHARED_COST,
        NumberClass.GLOBAL_NETWORK,
    }
)


def find_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    """List the pools that may pay, the first one first; `exhausted` is told when they are empty.

    Minutes never cover premium, shared-cost and network numbers.
    """
    if not _is_includable(enquiry):
        return ()
    if enquiry.call.kind in MEETING_KINDS:
        return _meeting_pools(enquiry, exhausted)
    return _plan_pools(enquiry, exhausted)


def is_fair_use(enquiry: Enquiry) -> bool:
    """The extended US/Canada add-on of an organizer pays dial-outs there: no pool, no credits."""
    user = enquiry.user
    return (
        enquiry.call.kind in MEETING_KINDS
        and user is not None
        and Capability.EXTENDED_US_CA in user.capabilities
        and enquiry.country in _US_CA_COUNTRIES
        and _is_includable(enquiry)
    )


def _is_includable(enquiry: Enquiry) -> bool:
    if enquiry.destination.number_class in _NEVER_INCLUDED:
        return False
    return premium_treatment(enquiry) is None


def _meeting_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    organizer = enquiry.user
    # A meeting is its organizer's: the account that pays is that user.
    assert organizer is not None
    pools: tuple[PoolPurse, ...] = ()
    if Capability.AUDIO_CONFERENCING_US_CA in organizer.capabilities and _leads_to_us_ca(enquiry):
        pools += (_us_ca_pool(enquiry, exhausted),)
    if (
        Capability.AUDIO_CONFERENCING in organizer.capabilities
        and enquiry.country in enquiry.catalogue.zone_a
    ):
        pools += (_zone_a_pool(enquiry, exhausted),)
    if enquiry.tenant.overflow_to_calling_plan and not pays_per_minute(organizer):
        pools += _plan_pools(enquiry, exhausted)
    return pools


def _leads_to_us_ca(enquiry: Enquiry) -> bool:
    return enquiry.country in _US_CA_COUNTRIES or leads_to_us_ca_toll_free(enquiry)


def _us_ca_pool(enquiry: Enquiry, exhausted: Reason) -> PoolPurse:
    size_seconds = enquiry.tenant.pool_sizes.get((CONFERENCE_US_CA_POOL, US_CA), 0)
    return PoolPurse(
        pool_id=CONFERENCE_US_CA_POOL,
        period=month(enquiry.tenant.time_zone, enquiry.now_ms),
        counter=US_CA,
        counters=(Counter(US_CA, size_seconds),),
        capability=CONFERENCE_US_CA_CAPABILITY,
        exhausted_reason=exhausted,
    )


def _zone_a_pool(enquiry: Enquiry, exhausted: Reason) -> PoolPurse:
    size_seconds = enquiry.tenant.pool_sizes.get((CONFERENCE_POOL, ZONE_A), 0)
    return PoolPurse(
        pool_id=CONFERENCE_POOL,
        period=month(enquiry.tenant.time_zone, enquiry.now_ms),
        counter=ZONE_A,
        counters=(Counter(ZONE_A, size_seconds),),
        capability=CONFERENCE_CAPABILITY,
        exhausted_reason=exhausted,
    )


def _plan_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    """The pool of the account's Calling Plan, if it covers the destination: one or none."""
    account = enquiry.account
    if account is None or account.plan is None or not _uses_its_plan(account):
        return ()
    plan = account.plan
    counter = _plan_counter(plan, enquiry)
    if not counter:
        return ()
    account_id = enquiry.payer.account_id
    pool_id = plan_pool_id(plan, account.usage_location, account_id)
    pool = PoolPurse(
        pool_id=pool_id,
        period=month(enquiry.tenant.time_zone, enquiry.now_ms),
        counter=counter,
        counters=_plan_counters(plan, pool_id, enquiry),
        capability=plan.capability,
        exhausted_reason=exhausted,
    )
    return (pool,)


def _uses_its_plan(account: User | ResourceAccount) -> bool:
    if isinstance(account, ResourceAccount):
        return True
    return (
        account.connectivity is Connectivity.CALLING_PLAN
        and Capability.PHONE_SYSTEM in account.capabilities
    )


def _plan_counter(plan: Plan, enquiry: Enquiry) -> str:
    """Name the counter a call is counted on; empty where the plan does not cover it."""
    if plan.pay_as_you_go or enquiry.country == WORLD:
        return ""
    if is_domestic(enquiry.country, enquiry.usage_location):
        return DOMESTIC if plan.domestic_minutes else ""
    if plan.international_minutes and enquiry.country in enquiry.catalogue.international_plan:
        return INTERNATIONAL
    return ""


def _plan_counters(plan: Plan, pool_id: str, enquiry: Enquiry) -> tuple[Counter, ...]:
    """A plan with two counters stops as soon as either is used up, so both go along."""
    if not plan.pooled:
        return (Counter(DOMESTIC, plan.domestic_minutes * SECONDS_PER_MINUTE),)
    sizes = enquiry.tenant.pool_sizes
    domestic = Counter(DOMESTIC, sizes.get((pool_id, DOMESTIC), 0))
    if not plan.international_minutes:
        return (domestic,)
    return (domestic, Counter(INTERNATIONAL, sizes.get((pool_id, INTERNATIONAL), 0)))
