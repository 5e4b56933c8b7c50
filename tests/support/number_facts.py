"""Builders of what the rules about numbers look at: destinations, rates, emergency numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy.destination import WORLD, Destination, NumberClass
from policy.emergency import name_services
from policy.facts import Catalogue, DatedRate, EmergencyNumbers, Rate

LONGEST_PREFIX = 7

DESTINATIONS: Mapping[str, Destination] = {
    prefix: Destination(prefix, country, number_class, label)
    for prefix, country, number_class, label in (
        ("1425", "US", NumberClass.ORDINARY, "United States"),
        ("1416", "CA", NumberClass.ORDINARY, "Canada"),
        ("1787", "PR", NumberClass.ORDINARY, "Puerto Rico"),
        ("1809", "DO", NumberClass.ORDINARY, "Dominican Republic"),
        ("1876", "JM", NumberClass.ORDINARY, "Jamaica"),
        ("1800", WORLD, NumberClass.TOLL_FREE, "North America, toll-free"),
        ("1900", "US", NumberClass.PREMIUM, "United States, premium"),
        ("39", "IT", NumberClass.ORDINARY, "Italy"),
        ("393", "IT", NumberClass.MOBILE, "Italy, mobile"),
        ("39899", "IT", NumberClass.PREMIUM, "Italy, premium"),
        ("3906698", "VA", NumberClass.ORDINARY, "Vatican City"),
        ("44", "GB", NumberClass.ORDINARY, "United Kingdom"),
        ("44844", "GB", NumberClass.SHARED_COST, "United Kingdom, shared cost"),
        ("449", "GB", NumberClass.PREMIUM, "United Kingdom, premium"),
        ("441481", "GG", NumberClass.ORDINARY, "Guernsey"),
        ("441534", "JE", NumberClass.ORDINARY, "Jersey"),
        ("447624", "IM", NumberClass.MOBILE, "Isle of Man, mobile"),
        ("33899", "FR", NumberClass.PREMIUM, "France, premium"),
        ("7", "RU", NumberClass.ORDINARY, "Russia"),
        ("77", "KZ", NumberClass.ORDINARY, "Kazakhstan"),
        ("262", "RE", NumberClass.ORDINARY, "Reunion"),
        ("262269", "YT", NumberClass.ORDINARY, "Mayotte"),
        ("881", WORLD, NumberClass.GLOBAL_NETWORK, "Satellite networks"),
    )
}

EMERGENCY: Mapping[str, EmergencyNumbers] = {
    country: EmergencyNumbers(country, frozenset(numbers), name_services(numbers, masks))
    for country, numbers, masks in (
        ("US", ("911", "933"), {"1911": "911", "9911": "911", "9933": "933"}),
        ("GB", ("999", "112", "18000"), {}),
        ("FR", ("112", "115", "116000", "119", "15", "17", "18"), {}),
        ("IT", ("112", "113", "114", "115", "118"), {}),
        ("AU", ("000", "106", "132500"), {"112": "000"}),
        ("ES", ("061", "112"), {}),
        ("JP", ("110", "119"), {"sos.police": "110", "sos.fire": "119"}),
        ("TM", ("001", "002"), {}),
        ("ZW", (), {}),
    )
}


def a_rate(rate_id: str = "rate-1", **changes: Any) -> Rate:
    """Build a rate of 0.06 a minute, 60/60, without a connection fee."""
    fields: dict[str, Any] = {
        "currency": "USD",
        "micros_per_minute": 60_000,
        "connection_fee_micros": 0,
        "first_increment_seconds": 60,
        "next_increment_seconds": 60,
    }
    return Rate(rate_id, **(fields | changes))


def rows(rate_id: str, valid_from_ms: int = 0, **changes: Any) -> tuple[DatedRate, ...]:
    """Build the rows of one prefix: one rate, in force since `valid_from_ms`."""
    return (DatedRate(valid_from_ms, a_rate(rate_id, **changes)),)


def a_catalogue(**changes: Any) -> Catalogue:
    """Build a catalogue of the destinations above, without rates unless they are given."""
    fields: dict[str, Any] = {
        "version": "test",
        "destinations": DESTINATIONS,
        "longest_prefix": LONGEST_PREFIX,
        "rates": {},
        "toll_free_rates": {},
        "toll_rates": {},
        "zone_a": frozenset(),
        "international_plan": frozenset(),
        "premium_rules": {},
        "emergency": EMERGENCY,
    }
    return Catalogue(**(fields | changes))
