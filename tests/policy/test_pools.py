"""Which licences make up a pool, and in which month it is counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from facts import a_resource_account, a_user, pool_sizes
from policy.allowance import month
from policy.facts import PoolBasis, ResourceAccount, User


def sizes(
    *accounts: User | ResourceAccount, basis: str = "assigned", purchased: int = 0
) -> dict[str, int]:
    """Size the pools in minutes by "id/counter", those without any left out."""
    found = pool_sizes(accounts, PoolBasis(basis), purchased)
    return {f"{pool}/{counter}": size // 60 for (pool, counter), size in found.items() if size}


def test_holders_of_one_plan_in_one_country_make_one_pool() -> None:
    users = [a_user(f"user-{place}", "MCOPSTN1") for place in range(100)]

    assert sizes(*users) == {"US:MCOPSTN1/domestic": 300_000}


def test_plans_and_countries_make_pools_of_their_own() -> None:
    assert sizes(
        a_user("anna", "MCOPSTN1"),
        a_user("bert", "MCOPSTN2"),
        a_user("gill", "MCOPSTN1", location="GB"),
        a_user("ivo", "MCOPSTN5", location="IT"),
    ) == {
        "US:MCOPSTN1/domestic": 3000,
        "US:MCOPSTN2/domestic": 3000,
        "US:MCOPSTN2/international": 600,
        "GB:MCOPSTN1/domestic": 3000,
        "IT:MCOPSTN5/domestic": 120,
    }


def test_puerto_rico_shares_with_the_us_and_canada_does_not() -> None:
    users = [a_user(country, "MCOPSTN1", location=country) for country in ("US", "PR", "CA")]

    assert sizes(*users) == {"US:MCOPSTN1/domestic": 6000, "CA:MCOPSTN1/domestic": 3000}


def test_a_plan_that_is_not_pooled_is_its_holders_alone() -> None:
    assert sizes(a_user("anna", "MCOPSTN8"), a_user("bert", "MCOPSTN8")) == {
        "user:anna:MCOPSTN8/domestic": 120,
        "user:bert:MCOPSTN8/domestic": 120,
    }


def test_pay_as_you_go_has_no_minutes() -> None:
    assert sizes(a_user("eve", "MCOPSTN_PAYG_1")) == {}


def test_a_resource_account_with_a_plan_adds_to_the_pool() -> None:
    assert sizes(a_user("anna", "MCOPSTN1"), a_resource_account("desk", "MCOPSTN1")) == {
        "US:MCOPSTN1/domestic": 6000
    }


def test_the_licences_of_a_frozen_user_still_count() -> None:
    assert sizes(a_user("anna", "MCOPSTN1", frozen=True)) == {"US:MCOPSTN1/domestic": 3000}


@pytest.mark.parametrize(
    ("basis", "purchased", "minutes"),
    [("assigned", 100, {"conf/zone_a": 120}), ("purchased", 100, {"conf/zone_a": 6000})],
)
def test_the_meeting_pool_goes_by_its_basis(
    basis: str, purchased: int, minutes: dict[str, int]
) -> None:
    users = [a_user("olga", "MCOMEETADV"), a_user("zoe", "ENTERPRISEPREMIUM", location="ZW")]

    assert sizes(*users, basis=basis, purchased=purchased) == minutes


def test_us_canada_dial_out_licences_have_a_pool_of_their_own_by_assignment() -> None:
    users = [a_user(name, "MCOMEETADD_DIALOUT_US") for name in ("olga", "otto")]

    assert sizes(*users, basis="purchased", purchased=0) == {"conf-us-ca/us_ca": 120}


def test_pay_per_minute_conferencing_has_no_pool() -> None:
    assert sizes(a_user("olga", "MCOMEETACPEA")) == {}


@pytest.mark.parametrize(
    ("time_zone", "instant", "expected"),
    [
        ("UTC", (2026, 11, 30, 23, 59, 59), "2026-11"),
        ("UTC", (2026, 12, 1, 0, 0, 0), "2026-12"),
        ("America/Los_Angeles", (2026, 12, 1, 7, 59, 59), "2026-11"),
        ("America/Los_Angeles", (2026, 12, 1, 8, 0, 0), "2026-12"),
        # Half and quarter hours of offset, and a change of the clocks within the month.
        ("Asia/Kathmandu", (2026, 11, 30, 18, 14, 59), "2026-11"),
        ("Asia/Kathmandu", (2026, 11, 30, 18, 15, 0), "2026-12"),
        ("Europe/Rome", (2026, 10, 31, 22, 59, 59), "2026-10"),
        ("Europe/Rome", (2026, 10, 31, 23, 0, 0), "2026-11"),
        ("Pacific/Kiritimati", (2025, 12, 31, 10, 0, 0), "2026-01"),
    ],
)
def test_months_turn_at_midnight_of_the_time_zone(
    time_zone: str, instant: tuple[int, ...], expected: str
) -> None:
    year, month_number, day, hour, minute, second = instant
    at = datetime(year, month_number, day, hour, minute, second, tzinfo=UTC)

    assert month(time_zone, int(at.timestamp()) * 1000) == expected
