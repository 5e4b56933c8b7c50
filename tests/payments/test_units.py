"""Money as providers count it: what can be paid, and that it is the same on the way back.

Stripe's figures are those of docs.stripe.com/currencies.
"""

from __future__ import annotations

import pytest

from server.funding.providers.minor_units import ISO_4217, STRIPE, Counting


@pytest.mark.parametrize(
    ("counting", "micros", "currency", "units"),
    [
        (ISO_4217, 20_000_000, "USD", 2_000),
        (ISO_4217, 20_000_000, "JPY", 20),
        (ISO_4217, 20_001_000, "KWD", 20_001),
        (ISO_4217, 90_000_000_000, "MGA", 9_000_000),
        (ISO_4217, 75_000_000_000, "UGX", 75_000),
        (ISO_4217, 2_500_000_000, "ISK", 2_500),
        # "To charge 5 ISK, provide an amount value of 500"; the same holds for UGX.
        (STRIPE, 5_000_000, "ISK", 500),
        (STRIPE, 75_000_000_000, "UGX", 7_500_000),
        (STRIPE, 90_000_000_000, "MGA", 90_000),
        (STRIPE, 500_000_000, "JPY", 500),
        (STRIPE, 10_000_000, "USD", 1_000),
        # "5.124 KWD must be rounded to 5120 or 5130".
        (STRIPE, 5_120_000, "KWD", 5_120),
        (STRIPE, 175_000_000, "HUF", 17_500),
        (STRIPE, 600_000_000, "TWD", 60_000),
    ],
)
def test_amounts_are_counted_as_the_provider_counts_them(
    counting: Counting, micros: int, currency: str, units: int
) -> None:
    assert counting.units(micros, currency) == units
    assert counting.micros(units, currency) == micros


@pytest.mark.parametrize(
    ("counting", "micros", "currency", "instead"),
    [
        (ISO_4217, 0, "USD", "a multiple of 0.01 USD"),
        (ISO_4217, -10_000, "USD", "a multiple of 0.01 USD"),
        (ISO_4217, 5_000, "EUR", "a multiple of 0.01 EUR"),
        (ISO_4217, 10_000, "JPY", "a multiple of 1 JPY"),
        (STRIPE, 5_500_000, "ISK", "a multiple of 1 ISK"),
        (STRIPE, 75_000_010_000, "UGX", "a multiple of 1 UGX"),
        (STRIPE, 20_500_000, "MGA", "a multiple of 1.00 MGA"),
        (STRIPE, 5_124_000, "KWD", "a multiple of 0.010 KWD"),
        (STRIPE, 49_000_000, "JPY", "at least 50 JPY, which is the provider's least"),
        (STRIPE, 174_000_000, "HUF", "at least 175.00 HUF, which is the provider's least"),
        (STRIPE, 1_000_000_000_000, "USD", "at most 999999.99 USD, which is the provider's most"),
        (STRIPE, 100_000_000_000_000, "JPY", "at most 99999999 JPY, which is the provider's most"),
        (STRIPE, 1_000_000_000_000, "IDR", ""),
    ],
)
def test_what_a_provider_would_not_take_is_told_before_it_is_asked(
    counting: Counting, micros: int, currency: str, instead: str
) -> None:
    assert counting.objection(micros, currency) == instead
