"""Which minutes may pay a call: the pools of plans and of meetings, in their order."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from policy.decision import Counter, PoolPurse
from policy.destination import WORLD, NumberClass, is_domestic
from policy.enquiry import Enquiry
from policy.facts import Capability, Catalogue, Connectivity, Plan, ResourceAccount, User
from policy.licence import pays_per_minute
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
from policy.reasons import Reason
from policy.restriction import leads_to_us_ca_toll_free

# The licences that pay, as usage records name them.
CONFERENCE_CAPABILITY: Final = "MCOMEETADD"
CONFERENCE_US_CA_CAPABILITY: Final = "MCOMEETADD_DIALOUT_US"

_US_CA_COUNTRIES: Final = frozenset({"US", "CA"})
INCLUDED_CLASSES: Final = (NumberClass.ORDINARY, NumberClass.MOBILE, NumberClass.TOLL_FREE)
_POOLS_CACHED: Final = 65_536

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_PHONE_SYSTEM: Final = Capability.PHONE_SYSTEM
_AUDIO_CONFERENCING: Final = Capability.AUDIO_CONFERENCING
_US_CA_DIAL_OUT: Final = Capability.AUDIO_CONFERENCING_US_CA
_EXTENDED_US_CA: Final = Capability.EXTENDED_US_CA
_CALLING_PLAN: Final = Connectivity.CALLING_PLAN


def find_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    """List the pools that may pay, the first one first; `exhausted` is told when they are empty.

    Minutes never cover premium, shared-cost and network numbers.
    """
    if enquiry.treatment is not None or enquiry.destination.number_class not in INCLUDED_CLASSES:
        return ()
    if enquiry.traits.of_meeting:
        return _meeting_pools(enquiry, exhausted)
    return _plan_pools(enquiry, exhausted)


def is_fair_use(enquiry: Enquiry) -> bool:
    """An organizer's extended US/Canada add-on pays dial-outs there: no pool, no credits."""
    user = enquiry.user
    return (
        user is not None
        and _EXTENDED_US_CA in user.capabilities
        and enquiry.country in _US_CA_COUNTRIES
        and enquiry.treatment is None
        and enquiry.destination.number_class in INCLUDED_CLASSES
    )


def _meeting_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    organizer = enquiry.user
    # A meeting is its organizer's: the account that pays is that user.
    assert organizer is not None
    pools: tuple[PoolPurse, ...] = ()
    if _US_CA_DIAL_OUT in organizer.capabilities and _leads_to_us_ca(enquiry):
        pools += (_us_ca_pool(enquiry, exhausted),)
    if (
        _AUDIO_CONFERENCING in organizer.capabilities
        and enquiry.country in enquiry.catalogue.zone_a
    ):
        pools += (_zone_a_pool(enquiry, exhausted),)
    if enquiry.tenant.overflow_to_calling_plan and not pays_per_minute(organizer):
        pools += _plan_pools(enquiry, exhausted)
    return pools


def _leads_to_us_ca(enquiry: Enquiry) -> bool:
    return enquiry.country in _US_CA_COUNTRIES or leads_to_us_ca_toll_free(enquiry)


def _us_ca_pool(enquiry: Enquiry, exhausted: Reason) -> PoolPurse:
    counter = (US_CA, enquiry.tenant.pool_sizes.get((CONFERENCE_US_CA_POOL, US_CA), 0))
    period = month(enquiry.tenant.time_zone, enquiry.now_ms)
    pool = (CONFERENCE_US_CA_POOL, period, US_CA)
    return _purse(pool, CONFERENCE_US_CA_CAPABILITY, exhausted, counter)


def _zone_a_pool(enquiry: Enquiry, exhausted: Reason) -> PoolPurse:
    counter = (ZONE_A, enquiry.tenant.pool_sizes.get((CONFERENCE_POOL, ZONE_A), 0))
    period = month(enquiry.tenant.time_zone, enquiry.now_ms)
    return _purse((CONFERENCE_POOL, period, ZONE_A), CONFERENCE_CAPABILITY, exhausted, counter)


def _plan_pools(enquiry: Enquiry, exhausted: Reason) -> tuple[PoolPurse, ...]:
    """The pool of the account's Calling Plan, if it covers the destination: one or none."""
    account = enquiry.account
    plan = None if account is None else account.plan
    if account is None or plan is None or not _uses_its_plan(account):
        return ()
    counter = plan_counter(
        plan, enquiry.country, here=enquiry.usage_location, catalogue=enquiry.catalogue
    )
    if not counter:
        return ()
    pool_id = plan_pool_id(plan, account.usage_location, enquiry.payer.account_id)
    pool = (pool_id, month(enquiry.tenant.time_zone, enquiry.now_ms), counter)
    if not plan.pooled:
        own = (DOMESTIC, plan.domestic_minutes * SECONDS_PER_MINUTE)
        return (_purse(pool, plan.capability, exhausted, own),)
    sizes = enquiry.tenant.pool_sizes
    domestic = (DOMESTIC, sizes.get((pool_id, DOMESTIC), 0))
    if not plan.international_minutes:
        return (_purse(pool, plan.capability, exhausted, domestic),)
    # A plan with two counters stops as soon as either is used up, so both go along.
    international = (INTERNATIONAL, sizes.get((pool_id, INTERNATIONAL), 0))
    return (_purse(pool, plan.capability, exhausted, domestic, international),)


@lru_cache(maxsize=_POOLS_CACHED)
def _purse(
    pool: tuple[str, str, str], capability: str, exhausted: Reason, *sizes: tuple[str, int]
) -> PoolPurse:
    """Make a purse, or find it again: few differ among many calls, and making one takes long.

    `pool` is its id, the period and the counter of the call.
    """
    pool_id, period, counter = pool
    counters = tuple(Counter(name, size_seconds) for name, size_seconds in sizes)
    return PoolPurse(pool_id, period, counter, counters, capability, exhausted)


def _uses_its_plan(account: User | ResourceAccount) -> bool:
    if isinstance(account, ResourceAccount):
        return True
    return account.connectivity is _CALLING_PLAN and _PHONE_SYSTEM in account.capabilities


def plan_counter(plan: Plan, country: str, *, here: str, catalogue: Catalogue) -> str:
    """Name the counter of a plan that a call to a country counts on; empty: it does not cover it.

    `here` is where the plan's holder is at home.
    """
    if plan.pay_as_you_go or country == WORLD:
        return ""
    if is_domestic(country, here):
        return DOMESTIC if plan.domestic_minutes else ""
    if plan.international_minutes and country in catalogue.international_plan:
        return INTERNATIONAL
    return ""


# Local midnights of every time zone fall on a whole quarter of an hour of UTC.
QUARTER_HOUR_MS: Final = 15 * 60 * 1000
_CACHED_QUARTERS: Final = 1024


def month(time_zone: str, now_ms: int) -> str:
    """Name the month of an instant in a time zone: "2026-11". A call belongs to where it starts."""
    return _month_of_quarter(time_zone, now_ms // QUARTER_HOUR_MS)


@lru_cache(maxsize=_CACHED_QUARTERS)
def _month_of_quarter(time_zone: str, quarter: int) -> str:
    start = datetime.fromtimestamp(quarter * QUARTER_HOUR_MS / 1000, UTC)
    return start.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m")
