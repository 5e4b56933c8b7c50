"""For whom a plan would have been cheaper than credits, each beside the sum written out."""

from __future__ import annotations

from typing import Any

import pytest

from facts import PLANS, a_catalogue, a_user
from policy.facts import Connectivity, User
from policy.plan_advice import Better, Offers, UsedCredits, better_licences

USD = 1_000_000
US, JAPAN, ITALY = "+14255550123", "+81312345678", "+390612345678"
CREDITS = ("MCOEV", "MCOPSTNPP")


def used(user_id: str = "anna", minutes: int = 60, units: int = 20, **changes: Any) -> UsedCredits:
    usual = {"call_type": "user_out", "number": US, "country": "US"} | changes
    return UsedCredits(user_id, **usual, seconds=minutes * 60, micros=units * USD)


def better(users: list[User], spent: list[UsedCredits], **prices: int) -> list[Better]:
    in_micros = {licence: price * USD for licence, price in prices.items()}
    offers = Offers(PLANS, in_micros, a_catalogue())
    return better_licences({user.user_id: user for user in users}, spent, offers)


def test_a_plan_that_covers_more_than_it_costs_is_cheaper() -> None:
    """20 of domestic calls for a plan of 12: 8 are saved. Ben spent 10 and is left alone."""
    found = better(
        [a_user("anna", *CREDITS), a_user("ben", *CREDITS)],
        [used("anna"), used("ben", units=10)],
        MCOPSTN1=12,
    )

    assert found == [Better("anna", 20 * USD, "MCOPSTN1", 20 * USD, 8 * USD)]


def test_the_cheapest_of_several_plans_is_told() -> None:
    """120 minutes for 4 cover 120 of 240: half of 60, so 26; 240 minutes for 9 cover all: 51."""
    found = better(
        [a_user("anna", *CREDITS)], [used(minutes=240, units=60)], MCOPSTN5=4, MCOPSTN6=9
    )
    dearer = better(
        [a_user("anna", *CREDITS)], [used(minutes=240, units=60)], MCOPSTN5=4, MCOPSTN6=40
    )

    assert found == [Better("anna", 60 * USD, "MCOPSTN6", 60 * USD, 51 * USD)]
    assert dearer == [Better("anna", 60 * USD, "MCOPSTN5", 30 * USD, 26 * USD)]


def test_a_plan_that_one_has_is_given_back_for_its_price() -> None:
    """With MCOPSTN1 anna calls Italy on credits, 50: MCOPSTN2 costs 24 instead of 12, 12 more."""
    anna = a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP")
    abroad = [used(units=50, number=ITALY, country="IT")]

    assert better([anna], abroad, MCOPSTN1=12, MCOPSTN2=24) == [
        Better("anna", 50 * USD, "MCOPSTN2", 50 * USD, 38 * USD)
    ]
    # What its minutes pay is not known: nothing with fewer of them is cheaper for sure.
    assert better([anna], abroad, MCOPSTN1=12, MCOPSTN5=1, MCOPSTN_PAYG_1=0) == []
    # What the present one costs is not known.
    assert better([anna], abroad, MCOPSTN2=24) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"country": "IT", "number": ITALY},
        {"call_type": "conf_out"},
        {"call_type": "conf_in"},
        {"call_type": "dr_out"},
        {"number": "+19005550123"},
        {"number": ""},
    ],
    ids=str,
)
def test_what_minutes_never_cover_is_no_reason_for_a_plan(changes: dict[str, Any]) -> None:
    assert better([a_user("anna", *CREDITS)], [used(units=500, **changes)], MCOPSTN1=12) == []


def test_who_cannot_use_a_plan_is_not_advised_one() -> None:
    routed = a_user("anna", *CREDITS, connectivity=Connectivity.DIRECT_ROUTING)

    assert better([routed], [used()], MCOPSTN1=12) == []
    assert better([a_user("anna", "MCOPSTNPP")], [used()], MCOPSTN1=12) == []


def test_a_credits_licence_that_nobody_used_is_told_with_its_price() -> None:
    users = [a_user("anna", *CREDITS), a_user("ben", "MCOEV"), a_user("carl", *CREDITS)]

    assert better(users, [used("carl")], MCOPSTNPP=3) == [Better("anna", 0, None, 0, 3 * USD)]
    assert better(users, [used("carl")]) == [Better("anna", 0, None, 0, 0)]


def test_who_saves_most_comes_first() -> None:
    users = [a_user(name, *CREDITS) for name in ("anna", "ben", "carl")]
    spent = [used("anna"), used("ben", units=40), used("carl"), used("nobody", units=99)]

    found = better(users, spent, MCOPSTN1=12)

    assert [each.user_id for each in found] == ["ben", "anna", "carl"]
