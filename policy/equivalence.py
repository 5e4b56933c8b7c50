"""Which outbound calls the rules cannot tell apart, so that one verdict serves them all.

Beside the tenant, the catalogue and the kind of call, a verdict about a call somebody places looks
at three things: who calls (`likeness`), where the number leads (`Zone`), and which prefixes that
somebody has listed the number begins with (`listed_prefixes`). Never at the digits themselves.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple

from policy.allowance import QUARTER_HOUR_MS
from policy.destination import NANP_CODE, Destination, NumberClass
from policy.facts import CallKind, Catalogue, DatedRate, Rate, User
from policy.premium import EVERY_PREMIUM
from policy.rating import rate_for_destination

# Kinds whose one account is a user of the tenant: who dials, or whose meeting it is.
ALIKE_KINDS: Final = frozenset(
    {
        CallKind.USER,
        CallKind.FORWARDED,
        CallKind.TRANSFERRED,
        CallKind.ADDED_PARTY,
        CallKind.MEETING_DIAL_OUT,
        CallKind.CALL_ME,
    }
)


class Zone(NamedTuple):
    """Where numbers lead and what they cost, from one instant until before another.

    `area` is the digits of a number as far as rates may differ within its destination; empty where
    none does.
    """

    country: str
    number_class: NumberClass
    label: str
    is_north_american: bool
    area: str
    rate: Rate | None
    from_ms: int
    until_ms: int


def likeness(user: User) -> tuple[Hashable, ...]:
    """Say what of a person the rules look at; of who has limits or minutes of their own, the id.

    Parts of the facts stand for themselves, by their identity: keep the person's facts as long.
    """
    plan = user.plan
    is_alone = (
        user.spend_limit_micros is not None
        or user.concurrent_calls_limit is not None
        or (plan is not None and not plan.pooled)
    )
    return (
        user.user_id if is_alone else "",
        user.usage_location,
        user.capabilities,
        id(plan),
        id(user.connectivity),
        id(user.restriction),
        user.shared_calling_account_id,
        user.frozen,
    )


def zone_of(
    catalogue: Catalogue, currency: str, e164: str, *, destination: Destination, now_ms: int
) -> Zone:
    """Say where a number leads, what that costs now, and how long that holds.

    A month may turn at any quarter of an hour; a rate comes into force at its own instant.
    """
    instants = [row.valid_from_ms for row in _rows(catalogue, currency, e164)]
    quarter = now_ms // QUARTER_HOUR_MS
    nothing_finer = catalogue.finest_rate_prefix <= len(destination.prefix)
    return Zone(
        destination.country,
        destination.number_class,
        destination.label,
        destination.prefix.startswith(NANP_CODE),
        "" if nothing_finer else e164[1 : catalogue.finest_rate_prefix + 1],
        rate_for_destination(catalogue, currency, e164, now_ms=now_ms, destination=destination),
        max([quarter * QUARTER_HOUR_MS, *(one for one in instants if one <= now_ms)]),
        min([(quarter + 1) * QUARTER_HOUR_MS, *(one for one in instants if one > now_ms)]),
    )


def listed_prefixes(catalogue: Catalogue) -> tuple[str, ...]:
    """List the prefixes that premium rules of any country name, of some length or of any."""
    found = {rule.prefix for rules in catalogue.premium_rules.values() for rule in rules}
    return tuple(sorted(found - {EVERY_PREMIUM}))


def _rows(catalogue: Catalogue, currency: str, e164: str) -> Iterator[DatedRate]:
    """Yield every row of rates under any prefix of a number."""
    table = catalogue.rates.get(currency, {})
    for length in range(1, len(e164)):
        yield from table.get(e164[1 : length + 1], ())
