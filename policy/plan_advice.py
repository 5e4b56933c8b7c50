"""For whom a plan would have been cheaper than credits, and who needs no credits licence.

By what users spent of credits, call by call added up by number; a plan's minutes are taken for the
user's own. Whole micros.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from policy.allowance import INCLUDED_CLASSES, plan_counter
from policy.destination import find_destination
from policy.facts import Capability, Catalogue, Connectivity, Plan, User
from policy.payer import TRAITS
from policy.pools import DOMESTIC
from policy.premium import find_treatment
from policy.purses import CREDITS_CAPABILITY
from policy.rating import SECONDS_PER_MINUTE

# The kinds of call that a user's plan pays, by their names in usage records.
PLAN_CALL_TYPES: Final = frozenset(
    traits.call_type
    for traits in TRAITS.values()
    if not (traits.arriving or traits.of_meeting or traits.of_account)
)


class UsedCredits(NamedTuple):
    """What credits paid of a user's calls of one type to one number."""

    user_id: str
    call_type: str
    number: str
    country: str
    seconds: int
    micros: int


class Better(NamedTuple):
    """What would have been cheaper for a user: a plan, or no credits licence where `plan` is None.

    `saved_micros` is what is left of what the plan covers when it is paid.
    """

    user_id: str
    spent_micros: int
    plan: str | None
    covered_micros: int
    saved_micros: int


@dataclass(frozen=True, slots=True)
class Offers:
    """Plans by (plan, usage country or "*"), and what licences cost in a month, in micros."""

    plans: Mapping[tuple[str, str], Plan]
    prices: Mapping[str, int]
    catalogue: Catalogue

    def of(self, user: User) -> Iterator[tuple[Plan, int, Plan | None]]:
        """List plans that a user may be given: each with what it costs more, and what there was.

        A plan that a user has already is given back for its price; without one it stays. What it
        pays is not looked at, so none with fewer minutes takes its place.
        """
        now = user.plan
        if now is not None and now.capability not in self.prices:
            return
        paid_now = 0 if now is None else self.prices[now.capability]
        for name, price in self.prices.items():
            plan = self.plans.get((name, user.usage_location)) or self.plans.get((name, "*"))
            if plan is not None and (now is None or _has_more(plan, now)):
                yield plan, price - paid_now, now


def better_licences(
    users: Mapping[str, User], used: Iterable[UsedCredits], offers: Offers
) -> list[Better]:
    """List the users for whom something is cheaper, those first who would save most."""
    by_user: dict[str, list[UsedCredits]] = defaultdict(list)
    for each in used:
        by_user[each.user_id].append(each)
    found = [
        better
        for user_id, user in users.items()
        if (better := _better(user, by_user.get(user_id, ()), offers)) is not None
    ]
    return sorted(found, key=lambda better: (-better.saved_micros, better.user_id))


def _better(user: User, used: Sequence[UsedCredits], offers: Offers) -> Better | None:
    spent = sum(each.micros for each in used)
    if not spent:
        if Capability.CREDITS not in user.capabilities:
            return None
        price = offers.prices.get(CREDITS_CAPABILITY, 0)
        return Better(user.user_id, 0, None, 0, price)
    if user.connectivity is not Connectivity.CALLING_PLAN:
        return None
    if Capability.PHONE_SYSTEM not in user.capabilities:
        return None
    choices = [
        Better(user.user_id, spent, plan.capability, covered, covered - dearer)
        for plan, dearer, now in offers.of(user)
        for covered in (
            _covered(plan, now, _by_counter(plan, user, used, catalogue=offers.catalogue)),
        )
    ]
    best = max(choices, key=lambda choice: choice.saved_micros, default=None)
    return best if best is not None and best.saved_micros > 0 else None


def _by_counter(
    plan: Plan, user: User, used: Sequence[UsedCredits], *, catalogue: Catalogue
) -> dict[str, tuple[int, int]]:
    """Add up seconds and micros of what a plan covers, by the counter that it counts on."""
    sums: dict[str, tuple[int, int]] = {}
    for each in used:
        if not _is_included(each, user, catalogue):
            continue
        counter = plan_counter(plan, each.country, here=user.usage_location, catalogue=catalogue)
        if counter:
            seconds, micros = sums.get(counter, (0, 0))
            sums[counter] = seconds + each.seconds, micros + each.micros
    return sums


def _covered(plan: Plan, now: Plan | None, sums: Mapping[str, tuple[int, int]]) -> int:
    """Say what of a user's spending a plan would have covered, beyond what its own one did."""
    covered = 0
    for counter, (talked, micros) in sums.items():
        had = 0 if now is None else _minutes(now, counter)
        more = max(0, _minutes(plan, counter) - had) * SECONDS_PER_MINUTE
        covered += micros * min(more, talked) // talked if talked else 0
    return covered


def _is_included(used: UsedCredits, user: User, catalogue: Catalogue) -> bool:
    """Tell whether minutes of plans cover calls of this type to numbers of this class."""
    if used.call_type not in PLAN_CALL_TYPES:
        return False
    destination = find_destination(catalogue.destinations, catalogue.longest_prefix, used.number)
    if destination is None or destination.number_class not in INCLUDED_CLASSES:
        return False
    rules = catalogue.premium_rules.get(user.usage_location, ())
    return find_treatment(rules, used.number, destination) is None


def _has_more(plan: Plan, now: Plan) -> bool:
    """Tell whether a plan has more minutes of one kind, and no fewer of the other."""
    domestic = plan.domestic_minutes - now.domestic_minutes
    international = plan.international_minutes - now.international_minutes
    return min(domestic, international) >= 0 < max(domestic, international)


def _minutes(plan: Plan, counter: str) -> int:
    return plan.domestic_minutes if counter == DOMESTIC else plan.international_minutes
