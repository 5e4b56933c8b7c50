"""Figures in files are read exactly, or refused."""

from __future__ import annotations

import msgspec
import pytest

from server.facts.files.figures import Increments, Money, to_increments, to_micros, to_milliseconds


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("0.00", 0),
        ("50.00", 50_000_000),
        ("0.000001", 1),
        ("0.1", 100_000),
        ("0007", 7_000_000),
        ("99999999.999999", 99_999_999_999_999),
    ],
)
def test_an_amount_becomes_micros_without_rounding(amount: str, micros: int) -> None:
    assert to_micros(msgspec.convert(amount, Money)) == micros


@pytest.mark.parametrize(
    "amount", ["", "-1", "+1", "1.", ".5", "1e3", "1,5", "0.0000001", "100000000", "1\n", "\u0661"]
)
def test_what_is_no_exact_amount_is_refused(amount: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(amount, Money)


def test_increments_are_the_first_and_each_next() -> None:
    assert to_increments(msgspec.convert("60/6", Increments)) == (60, 6)


@pytest.mark.parametrize("increments", ["60", "0/1", "60/0", "6/6/6", "60 / 6", "-6/6"])
def test_what_are_no_increments_is_refused(increments: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(increments, Increments)


def test_a_date_is_its_midnight_in_utc_and_a_time_of_day_needs_a_zone() -> None:
    assert to_milliseconds("1970-01-02") == 86_400_000
    assert to_milliseconds("1970-01-01T01:00:00+01:00") == 0

    with pytest.raises(ValueError, match="needs its zone"):
        to_milliseconds("2027-01-01T08:00:00")
    with pytest.raises(ValueError, match="give a date"):
        to_milliseconds("tomorrow")
