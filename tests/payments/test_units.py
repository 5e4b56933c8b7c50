"""Money in minor units: what can be paid, and that it is the same on the way back."""

from __future__ import annotations

import pytest

from server.payments.units import is_payable, micros_of, minor_units


@pytest.mark.parametrize(
    ("micros", "currency", "units"),
    [(20_000_000, "USD", 2_000), (20_000_000, "JPY", 20), (20_001_000, "KWD", 20_001)],
)
def test_amounts_are_counted_in_the_minor_units_of_their_currency(
    micros: int, currency: str, units: int
) -> None:
    assert minor_units(micros, currency) == units
    assert micros_of(units, currency) == micros


@pytest.mark.parametrize(
    ("micros", "currency"), [(0, "USD"), (-10_000, "USD"), (5_000, "EUR"), (10_000, "JPY")]
)
def test_what_is_no_whole_minor_unit_cannot_be_paid(micros: int, currency: str) -> None:
    assert not is_payable(micros, currency)
