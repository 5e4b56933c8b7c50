"""The tables of the catalogue beside the rates: each read into the form the rules use."""

from __future__ import annotations

from policy.destination import Destination
from policy.emergency import InvalidEmergencyNumbers, check_emergency_numbers, name_services
from policy.facts import Capability, EmergencyNumbers, Plan, PremiumRule, Restriction
from policy.licence import Sku
from server.facts.catalogue.folder import Source
from server.facts.catalogue.rows import (
    CountryRow,
    EmergencyRow,
    PlanRow,
    PrefixRow,
    PremiumRow,
    ReachRow,
    RestrictionRow,
    SkuRow,
)

MAX_PREFIXES = 500_000


def read_prefixes(source: Source) -> dict[str, Destination]:
    """Read where each prefix leads."""
    name = "prefixes.csv"
    destinations: dict[str, Destination] = {}
    for line, row in source.rows(name, PrefixRow):
        if row.prefix in destinations:
            source.add(name, line, f"{row.prefix} stands here twice; remove one", column="prefix")
        destinations[row.prefix] = Destination(row.prefix, row.country, row.number_class, row.label)
    if len(destinations) > MAX_PREFIXES:
        source.add(name, 0, f"holds more than {MAX_PREFIXES} prefixes; leave some out")
    return destinations


def read_country_list(source: Source, name: str) -> frozenset[str]:
    """Read a list of countries."""
    return frozenset(row.country for _, row in source.rows(name, CountryRow))


def read_emergency(source: Source) -> dict[str, EmergencyNumbers]:
    """Read the emergency numbers and dial masks of each country."""
    name = "emergency_numbers.csv"
    found: dict[str, EmergencyNumbers] = {}
    for line, row in source.rows(name, EmergencyRow):
        listed = row.numbers.split()
        masks = dict(_split_mask(mask) for mask in row.dial_masks.split())
        services = name_services(listed, masks)
        numbers = EmergencyNumbers(row.country, frozenset(listed), services)
        try:
            check_emergency_numbers(numbers)
        except InvalidEmergencyNumbers as error:
            source.add(name, line, str(error), column="numbers")
        if row.country in found:
            source.add(name, line, f"{row.country} stands here twice; join them", column="country")
        found[row.country] = numbers
    return found


def _split_mask(mask: str) -> tuple[str, str]:
    dialled, _, number = mask.partition(">")
    return dialled, number


def read_premium_rules(source: Source) -> dict[str, tuple[PremiumRule, ...]]:
    """Read what plan users of a country may dial of premium and shared-cost numbers."""
    rules: dict[str, tuple[PremiumRule, ...]] = {}
    for _, row in source.rows("premium_rules.csv", PremiumRow):
        rule = PremiumRule(row.country, row.prefix, row.treatment)
        rules[row.country] = (*rules.get(row.country, ()), rule)
    return rules


def read_restrictions(source: Source) -> dict[str, Restriction]:
    """Read the outbound calling restrictions by identity."""
    return {
        row.identity: Restriction(row.identity, row.conference_scope, row.pstn_scope)
        for _, row in source.rows("restrictions.csv", RestrictionRow)
    }


def read_plans(source: Source) -> dict[tuple[str, str], Plan]:
    """Read the Calling Plans by (plan, usage country or "*")."""
    name = "plans.csv"
    plans: dict[tuple[str, str], Plan] = {}
    for line, row in source.rows(name, PlanRow):
        key = (row.plan, row.country)
        if key in plans:
            source.add(name, line, f"{row.plan} of {row.country} stands here twice; remove one")
        plans[key] = Plan(
            row.plan,
            row.domestic_minutes,
            row.international_minutes,
            pooled=row.pooled == "yes",
            pay_as_you_go=row.pay_as_you_go == "yes",
        )
    return plans


def read_skus(source: Source, plans: dict[tuple[str, str], Plan]) -> dict[str, Sku]:
    """Read the licence names, in capitals, and what they stand for."""
    name = "skus.csv"
    known = {plan for plan, _ in plans}
    skus: dict[str, Sku] = {}
    for line, row in source.rows(name, SkuRow):
        capabilities = set(row.capabilities.split())
        for wrong in sorted(capabilities - {each.value for each in Capability}):
            choice = ", ".join(Capability)
            source.add(name, line, f"{wrong!r} is none of {choice}", column="capabilities")
        if row.plan and row.plan not in known:
            source.add(name, line, f"{row.plan!r} is no plan of plans.csv", column="plan")
        if row.sku.upper() in skus:
            source.add(name, line, f"{row.sku} stands here twice; remove one", column="sku")
        skus[row.sku.upper()] = Sku(
            row.sku.upper(),
            frozenset(each for each in Capability if each.value in capabilities),
            row.plan,
            row.product,
        )
    return skus


def read_toll_free_reach(source: Source) -> dict[str, frozenset[str]]:
    """Read from where else a country's toll-free numbers can be called."""
    reach: dict[str, frozenset[str]] = {}
    for _, row in source.rows("toll_free_reach.csv", ReachRow):
        reach[row.country] = reach.get(row.country, frozenset()) | {row.origin}
    return reach
