"""From where a toll-free number works."""

from __future__ import annotations

import pytest

from policy.destination import (
    NANP_COUNTRIES,
    WORLD,
    Destination,
    NumberClass,
    is_destination_reachable,
    is_reachable,
)

REACH = {
    "GB": frozenset({"GG", "IM", "JE"}),
    "AU": frozenset({"CX", "CC"}),
}


@pytest.mark.parametrize(
    ("number_country", "origin_country", "reachable"),
    [
        ("DE", "DE", True),
        ("DE", "FR", False),  # 59
        ("FR", "DE", False),
        # Territories that the table adds; only outwards from the number's own country.
        ("GB", "JE", True),
        ("JE", "GB", False),
        ("AU", "CX", True),
        # Territories with a code of their own that it does not add.
        ("FR", "RE", False),
        ("DK", "GL", False),
        # One numbering plan: the origin decides the price, not the reach.
        ("US", "US", True),
        ("US", "CA", True),  # 58
        ("US", "PR", True),
        ("US", "JM", True),
        ("CA", "US", True),
        ("US", "GB", False),
        ("GB", "US", False),
        # Universal freephone numbers are not offered.
        (WORLD, "DE", False),
        (WORLD, WORLD, False),
    ],
)
def test_a_toll_free_number_works_in_its_own_country(
    number_country: str, origin_country: str, reachable: bool
) -> None:
    assert is_reachable(REACH, number_country, origin_country) is reachable


@pytest.mark.parametrize(
    ("prefix", "country", "origin_country", "reachable"),
    [
        ("1800", WORLD, "US", True),  # 60
        ("1800", WORLD, "CA", True),  # 60
        ("1800", WORLD, "IT", False),  # 60
        ("800", WORLD, "US", False),
        ("39800", "IT", "IT", True),
        ("39800", "IT", "VA", False),
        ("44800", "GB", "GG", True),
    ],
)
def test_dialling_out_to_a_toll_free_number_works_where_the_digits_do(
    prefix: str, country: str, origin_country: str, reachable: bool
) -> None:
    destination = Destination(prefix, country, NumberClass.TOLL_FREE, "toll-free")

    assert is_destination_reachable(REACH, destination, origin_country) is reachable


def test_the_north_american_plan_is_of_many_countries() -> None:
    assert {"US", "CA", "PR", "JM", "DO", "BS", "BB", "TT"} <= NANP_COUNTRIES
    assert not {"MX", "GB", WORLD} & NANP_COUNTRIES
