"""The tables of the catalogue beside the rates: each read into the form the rules use."""

from __future__ import annotations

from policy.destination import Destination, sized_prefix, with_sized
from policy.emergency import InvalidEmergencyNumbers, check_emergency_numbers, name_services
from policy.facts import Capability, EmergencyNumbers, Plan, PremiumRule, Restriction, ShortCode
from policy.licence import Sku
from server.facts.catalogue.folder import Source, overlay_of
from server.facts.catalogue.rows import (
    CountryRow,
    EmergencyRow,
    PlanRow,
    PrefixRow,
    PremiumRow,
    ReachRow,
    RestrictionRow,
    ShortCodeRow,
    SkuRow,
)

MAX_PREFIXES = 500_000


def read_prefixes(source: Source) -> dict[str, Destination]:
    """Read where each prefix leads."""
    name = "prefixes.csv"
    destinations: dict[str, Destination] = {}
    sized: dict[str, Destination] = {}
    for line, row in source.rows(name, PrefixRow):
        key = sized_prefix(row.prefix, int(row.length or 0))
        table = sized if row.length else destinations
        if key in table:
            source.add(name, line, f"{row.prefix} stands here twice; remove one", column="prefix")
        table[key] = Destination(key, row.country, row.number_class, row.label)
    with_sized(destinations, sized)
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
        if line.file == overlay_of(name) and row.country in found:
            # The operator's are added: no row of theirs takes a number away.
            made = found.pop(row.country)
            listed += sorted(made.numbers - set(listed))
            masks = {
                mask: dial for mask, dial in made.dial_masks.items() if mask not in listed
            } | masks
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
        for country in source.countries if row.country == "*" else {row.country}:
            rule = PremiumRule(country, row.prefix, row.treatment, int(row.length or 0))
            rules[country] = (*rules.get(country, ()), rule)
    return rules


def read_short_codes(source: Source) -> dict[str, dict[str, ShortCode]]:
    """Read the short codes of each country; a catalogue without any is as good."""
    name = "short_codes.csv"
    found: dict[str, dict[str, ShortCode]] = {}
    for line, row in source.optional_rows(name, ShortCodeRow):
        codes = found.setdefault(row.country, {})
        if row.code in codes:
            source.add(name, line, f"{row.code} stands here twice; remove one", column="code")
        codes[row.code] = ShortCode(row.country, row.code, row.treatment, row.label)
    return found


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
