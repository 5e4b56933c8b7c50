"""Builders of whole facts: a small catalogue with rates, and tenants whose pools are summed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import number_facts
from policy.destination import WORLD, Destination, NumberClass
from policy.facts import (
    Call,
    CallKind,
    Capability,
    Catalogue,
    ConferenceScope,
    DatedRate,
    EmergencyNumbers,
    Facts,
    FundingModel,
    Plan,
    PoolBasis,
    PremiumRule,
    PstnScope,
    ResourceAccount,
    Restriction,
    ServiceKind,
    ServiceNumber,
    ShortCode,
    ShortCodeClass,
    Tenant,
    Treatment,
    User,
)
from policy.licence import Sku, find_plan, unfold
from policy.pools import Holdings

# 2026-11-15T12:00:00Z.
NOW_MS = 1_794_744_000_000

SKUS: Mapping[str, Sku] = {
    sku.name: sku
    for sku in (
        Sku("MCOEV", frozenset({Capability.PHONE_SYSTEM})),
        *(
            Sku(name, plan=name)
            for name in ("MCOPSTN1", "MCOPSTN2", "MCOPSTN5", "MCOPSTN6", "MCOPSTN8")
        ),
        Sku("MCOPSTN_PAYG_1", plan="MCOPSTN_PAYG_1"),
        Sku("MCOPSTN_PAYG_2", plan="MCOPSTN_PAYG_2"),
        Sku("MCOPSTNPP", frozenset({Capability.CREDITS})),
        Sku("MCOPSTNC", frozenset({Capability.CREDITS})),
        Sku("MCOMEETADV", frozenset({Capability.AUDIO_CONFERENCING})),
        Sku("MCOMEETACPEA", frozenset({Capability.AUDIO_CONFERENCING_PER_MINUTE})),
        Sku("MCOMEETADD_DIALOUT_US", frozenset({Capability.AUDIO_CONFERENCING_US_CA})),
        Sku("EXTENDED_US_CA", frozenset({Capability.EXTENDED_US_CA})),
        Sku(
            "ENTERPRISEPREMIUM",
            frozenset({Capability.PHONE_SYSTEM, Capability.AUDIO_CONFERENCING}),
        ),
        Sku("ENTERPRISEPREMIUM_NOPSTNCONF", frozenset({Capability.PHONE_SYSTEM})),
        Sku("ENTERPRISEPACK"),
        Sku("PHONESYSTEM_VIRTUALUSER", frozenset({Capability.VIRTUAL_USER})),
    )
}

PLANS: Mapping[tuple[str, str], Plan] = {
    (plan.capability, country): plan
    for country, plan in (
        *(
            (country, Plan("MCOPSTN1", 3000, 0, True, False))
            for country in ("US", "PR", "CA", "GB")
        ),
        *(
            (country, Plan("MCOPSTN2", 3000, 600, True, False))
            for country in ("US", "PR", "CA", "GB")
        ),
        ("*", Plan("MCOPSTN1", 1200, 0, True, False)),
        ("*", Plan("MCOPSTN2", 1200, 600, True, False)),
        ("*", Plan("MCOPSTN5", 120, 0, True, False)),
        ("*", Plan("MCOPSTN6", 240, 0, True, False)),
        ("*", Plan("MCOPSTN8", 120, 0, False, False)),
        ("*", Plan("MCOPSTN_PAYG_1", 0, 0, False, True)),
        ("*", Plan("MCOPSTN_PAYG_2", 0, 0, False, True)),
    )
}

DESTINATIONS: Mapping[str, Destination] = dict(number_facts.DESTINATIONS) | {
    prefix: Destination(prefix, country, number_class, label)
    for prefix, country, number_class, label in (
        ("1202", "US", NumberClass.ORDINARY, "United States"),
        ("1888", WORLD, NumberClass.TOLL_FREE, "North America, toll-free"),
        ("33", "FR", NumberClass.ORDINARY, "France"),
        ("33800", "FR", NumberClass.TOLL_FREE, "France, toll-free"),
        ("49", "DE", NumberClass.ORDINARY, "Germany"),
        ("49800", "DE", NumberClass.TOLL_FREE, "Germany, toll-free"),
        ("49900", "DE", NumberClass.PREMIUM, "Germany, premium"),
        ("44800", "GB", NumberClass.TOLL_FREE, "United Kingdom, toll-free"),
        ("53", "CU", NumberClass.ORDINARY, "Cuba"),
        ("263", "ZW", NumberClass.ORDINARY, "Zimbabwe"),
        ("682", "CK", NumberClass.ORDINARY, "Cook Islands"),
        ("1861", "US", NumberClass.ORDINARY, "United States"),
        ("390549", "SM", NumberClass.ORDINARY, "San Marino"),
        ("39199", "IT", NumberClass.PREMIUM, "Italy, premium"),
        ("4470", "GB", NumberClass.PREMIUM, "United Kingdom, premium"),
        ("34905", "ES", NumberClass.PREMIUM, "Spain, premium"),
        ("76", "KZ", NumberClass.ORDINARY, "Kazakhstan"),
        ("97259", "PS", NumberClass.MOBILE, "Palestine, mobile"),
        ("52", "MX", NumberClass.ORDINARY, "Mexico"),
    )
}

# Without a rate, to show what that does.
UNRATED_PREFIXES = frozenset({"682"})

ZONE_A = frozenset({"CA", "DE", "FR", "GB", "IT", "PR", "RU", "US"})
INTERNATIONAL_PLAN = frozenset(
    {
        *("CA", "DE", "DO", "FR", "GB", "GG", "IM", "IT", "JE", "JM", "KZ", "PR", "RU", "US", "VA"),
        *("YT", "ZW"),
    }
)

PREMIUM_RULES: Mapping[str, tuple[PremiumRule, ...]] = {
    "GB": (
        *(
            PremiumRule("GB", prefix, Treatment.CREDITS_ONLY)
            for prefix in ("44843", "44844", "44845", "44870", "44871", "44872")
        ),
        PremiumRule("GB", "449", Treatment.BLOCKED),
    ),
    "FR": (PremiumRule("FR", "*", Treatment.CREDITS_ONLY),),
} | {
    country: (PremiumRule(country, "*", Treatment.BLOCKED),)
    for country in ("US", "PR", "CA", "DE", "ES")
}

SHORT_CODES: Mapping[str, Mapping[str, ShortCode]] = {
    "US": {
        "988": ShortCode("US", "988", ShortCodeClass.FREE, "Crisis lifeline"),
        "611": ShortCode("US", "611", ShortCodeClass.REFUSED, "The carrier's own service"),
        "411": ShortCode("US", "411", ShortCodeClass.RATED, "Directory enquiries"),
    },
    "CA": {"988": ShortCode("CA", "988", ShortCodeClass.FREE, "Crisis lifeline")},
    "DE": {"116xxx": ShortCode("DE", "116xxx", ShortCodeClass.REFUSED, "Not in use")},
}

UNRESTRICTED = Restriction("Global", ConferenceScope.ANY, PstnScope.INTERNATIONAL)

# What a minute costs where nothing else is said: 0.10.
RATE_MICROS_PER_MINUTE = 100_000


def a_catalogue(**changes: Any) -> Catalogue:
    """Build a catalogue in which every minute costs 0.10 in USD, EUR and GBP, 60/60, no fee.

    Toll-free minutes cost 0.02 from the US, 0.03 from Canada, 0.30 from Puerto Rico, and 0.05
    within any other country; toll minutes with pay-per-minute conferencing 0.01.
    """
    fields: dict[str, Any] = {
        "destinations": DESTINATIONS,
        "rates": {currency: _rates(currency) for currency in ("USD", "EUR", "GBP")},
        "finest_rate_prefix": 0,
        "toll_free_rates": {currency: _toll_free_rates(currency) for currency in ("USD", "EUR")},
        "toll_rates": {
            "USD": {"US": number_facts.rows("toll-US", micros_per_minute=10_000)},
        },
        "zone_a": ZONE_A,
        "international_plan": INTERNATIONAL_PLAN,
        "premium_rules": PREMIUM_RULES,
        "short_codes": SHORT_CODES,
    }
    return number_facts.a_catalogue(**(fields | changes))


def a_user(user_id: str = "anna", *licences: str, location: str = "US", **changes: Any) -> User:
    """Build a user by licence names; unknown ones are the test's mistake."""
    held = unfold(licences, SKUS)
    assert not held.unknown, held.unknown
    plan = find_plan(PLANS, held.plans[0], location) if held.plans else None
    return User(user_id, location, held.capabilities, **({"plan": plan} | changes))


def a_resource_account(
    account_id: str = "desk", *licences: str, location: str = "US", **changes: Any
) -> ResourceAccount:
    """Build the account of an attendant or queue by licence names."""
    held = unfold(licences, SKUS)
    assert not held.unknown, held.unknown
    plan = find_plan(PLANS, held.plans[0], location) if held.plans else None
    return ResourceAccount(account_id, location, held.capabilities, **({"plan": plan} | changes))


def a_service_number(
    number: str = "+18005550100", service: str = "bridge", *, toll_free: bool = True, **changes: Any
) -> ServiceNumber:
    """Build a toll-free bridge number of the US unless told otherwise."""
    fields: dict[str, Any] = {"country": "US"}
    return ServiceNumber(number, ServiceKind(service), toll_free, **(fields | changes))


def a_tenant(*accounts: User | ResourceAccount | ServiceNumber, **changes: Any) -> Tenant:
    """Build a prepaid US tenant, in USD and UTC, that holds credits licences and restricts nothing.

    `pool_basis` and `purchased_conferencing` size the meeting pool; by default as assigned.
    """
    basis = PoolBasis(changes.pop("pool_basis", "assigned"))
    purchased = changes.pop("purchased_conferencing", 0)
    holders = [account for account in accounts if not isinstance(account, ServiceNumber)]
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "country": "US",
        "currency": "USD",
        "time_zone": "UTC",
        "digest": "facts-1",
        "funding_model": FundingModel.PREPAID,
        "restriction": UNRESTRICTED,
        "users": {user.user_id: user for user in holders if isinstance(user, User)},
        "resource_accounts": {
            account.account_id: account
            for account in holders
            if isinstance(account, ResourceAccount)
        },
        "service_numbers": {
            number.number: number for number in accounts if isinstance(number, ServiceNumber)
        },
        "pool_sizes": pool_sizes(holders, basis, purchased),
    }
    return Tenant(**(fields | changes))


def pool_sizes(
    accounts: Iterable[User | ResourceAccount], basis: PoolBasis, purchased: int
) -> dict[tuple[str, str], int]:
    """Sum what accounts hold together, by (pool id, counter)."""
    holdings = Holdings()
    for account in accounts:
        holdings.add(account)
    return holdings.sizes(basis=basis, purchased_conferencing=purchased)


def some_facts(*accounts: User | ResourceAccount | ServiceNumber, **changes: Any) -> Facts:
    """Build the facts of one tenant; `catalogue` replaces the usual one."""
    catalogue = changes.pop("catalogue", None) or a_catalogue()
    return Facts(catalogue, a_tenant(*accounts, **changes))


def a_call(
    called_number: str = "+14255550123",
    *account_ids: str,
    kind: CallKind = CallKind.USER,
    **changes: Any,
) -> Call:
    """Build a call of the user "anna" for a minute, unless told otherwise."""
    fields: dict[str, Any] = {"requested_seconds": 60, "account_ids": account_ids or ("anna",)}
    return Call(kind, "contoso", called_number, **(fields | changes))


def patterns(*expressions: str) -> tuple[re.Pattern[str], ...]:
    """Compile patterns of blocked or exempt callers."""
    return tuple(re.compile(expression) for expression in expressions)


def emergency_numbers() -> Mapping[str, EmergencyNumbers]:
    """Return the emergency numbers of the catalogue."""
    return number_facts.EMERGENCY


def _rates(currency: str) -> Mapping[str, tuple[DatedRate, ...]]:
    return {
        prefix: number_facts.rows(
            f"{currency}-{prefix}", currency=currency, micros_per_minute=RATE_MICROS_PER_MINUTE
        )
        for prefix in DESTINATIONS
        if prefix not in UNRATED_PREFIXES
    }


def _toll_free_rates(currency: str) -> Mapping[tuple[str, str], tuple[DatedRate, ...]]:
    micros_by_pair = {("US", "US"): 20_000, ("US", "CA"): 30_000, ("US", "PR"): 300_000} | {
        (country, country): 50_000 for country in ("DE", "FR", "GB", "IT")
    }
    return {
        (number, origin): number_facts.rows(
            f"{number}-from-{origin}", currency=currency, micros_per_minute=micros
        )
        for (number, origin), micros in micros_by_pair.items()
    }
