"""Rows of prefixes beside those of their countries, and rates that end."""

from __future__ import annotations

from fact_files import FactFiles
from policy.facts import Rate
from policy.rating import rate_for_destination
from server.facts import read_facts
from server.facts.files.figures import to_milliseconds

RATES = "catalogue/rates/EUR.csv"
MOBILE = "+393331234567"


def _rate(files: FactFiles, number: str, day: str) -> Rate | None:
    catalogue, _ = read_facts(files.folders)
    return rate_for_destination(catalogue, "EUR", number, now_ms=to_milliseconds(day))


def _price(files: FactFiles, number: str, day: str) -> int:
    rate = _rate(files, number, day)
    assert rate is not None
    return rate.micros_per_minute


def test_a_prefix_comes_before_its_country_from_its_own_time_on(files: FactFiles) -> None:
    files.append(RATES, "39,,0.50,0.00,60/60,2027-01-01\n")

    for number in (MOBILE, "+390212345678"):
        assert _price(files, number, "2026-12-31") == 100_000
        assert _price(files, number, "2027-01-01") == 500_000


def test_a_row_that_names_the_class_comes_before_a_prefix_of_another(files: FactFiles) -> None:
    files.append(RATES, "39,,0.50,0.00,60/60,2026-01-01\nIT,mobile,0.2,0,1/1,2026-01-01\n")

    assert _price(files, MOBILE, "2026-12-01") == 200_000


def test_a_rate_ends_where_a_row_without_a_price_begins(files: FactFiles) -> None:
    files.append(RATES, "US,,,0,60/60,2027-01-01\n39333,,0.9,0,1/1,2026-01-01\n")
    files.append(RATES, "39333,,,0,1/1,2027-01-01\n")

    assert _price(files, "+12065550100", "2026-12-31") == 20_000
    assert _rate(files, "+12065550100", "2027-01-01") is None
    assert _price(files, MOBILE, "2026-12-31") == 900_000
    # What is left is the country's.
    assert _price(files, MOBILE, "2027-01-01") == 100_000
