"""What licence names amount to, and which plan a country sells."""

from __future__ import annotations

from typing import Any

import pytest

from facts import PLANS, SKUS, a_user
from policy.facts import Capability, Connectivity
from policy.licence import (
    count_purchased,
    find_plan,
    may_dial_out_of_meetings,
    may_place_calls,
    pays_per_minute,
    unfold,
)


@pytest.mark.parametrize(
    ("names", "capabilities"),
    [
        (["ENTERPRISEPREMIUM"], {Capability.PHONE_SYSTEM, Capability.AUDIO_CONFERENCING}),
        (["ENTERPRISEPREMIUM_NOPSTNCONF"], {Capability.PHONE_SYSTEM}),
        (["ENTERPRISEPACK"], set()),
        (["MCOPSTNC"], {Capability.CREDITS}),
        (["MCOPSTNPP"], {Capability.CREDITS}),
        ([" mcoev "], {Capability.PHONE_SYSTEM}),
        ([], set()),
    ],
)
def test_names_unfold_into_capabilities(names: list[str], capabilities: set[Capability]) -> None:
    assert unfold(names, SKUS).capabilities == capabilities


def test_a_plan_is_told_apart_from_capabilities() -> None:
    licences = unfold(["MCOEV", "MCOPSTN2", "MCOPSTN2"], SKUS)

    assert licences.plans == ("MCOPSTN2",)
    assert licences.capabilities == {Capability.PHONE_SYSTEM}


def test_two_plans_are_both_told_for_the_directory_to_object() -> None:
    assert unfold(["MCOPSTN2", "MCOPSTN1"], SKUS).plans == ("MCOPSTN2", "MCOPSTN1")


def test_unknown_names_are_told_as_they_were_written() -> None:
    licences = unfold(["mcoev", "Mcosomething"], SKUS)

    assert licences.unknown == ("Mcosomething",)
    assert licences.capabilities == {Capability.PHONE_SYSTEM}


@pytest.mark.parametrize(
    ("capability", "country", "minutes"),
    [
        ("MCOPSTN1", "US", (3000, 0)),
        ("MCOPSTN1", "IT", (1200, 0)),
        ("MCOPSTN2", "GB", (3000, 600)),
        ("MCOPSTN2", "FR", (1200, 600)),
    ],
)
def test_minutes_follow_the_country_of_usage(
    capability: str, country: str, minutes: tuple[int, int]
) -> None:
    plan = find_plan(PLANS, capability, country)

    assert plan is not None
    assert (plan.domestic_minutes, plan.international_minutes) == minutes


def test_a_plan_that_is_in_no_table_is_not_found() -> None:
    assert find_plan(PLANS, "MCOPSTN9", "US") is None


def test_bundles_count_among_the_purchased_licences() -> None:
    purchased = {"MCOMEETADV": 10, "ENTERPRISEPREMIUM": 5, "ENTERPRISEPACK": 100, "UNKNOWN": 7}

    assert count_purchased(purchased, SKUS, Capability.AUDIO_CONFERENCING) == 15


@pytest.mark.parametrize(
    ("licences", "changes", "allowed"),
    [
        ("MCOEV MCOPSTN1", {}, True),
        ("MCOEV", {}, False),
        ("MCOPSTN1", {}, False),
        ("MCOEV", {"connectivity": Connectivity.DIRECT_ROUTING}, True),
        ("", {"connectivity": Connectivity.OPERATOR_CONNECT}, False),
        ("MCOEV", {"shared_calling_account_id": "shared"}, True),
        ("", {"shared_calling_account_id": "shared"}, False),
    ],
)
def test_a_call_of_ones_own_needs_phone_system_and_a_carrier(
    licences: str, changes: dict[str, Any], allowed: bool
) -> None:
    assert may_place_calls(a_user("anna", *licences.split(), **changes)) is allowed


@pytest.mark.parametrize(
    ("licences", "allowed"),
    [
        ("MCOMEETADV", True),
        ("MCOMEETACPEA", True),
        ("MCOMEETADD_DIALOUT_US", True),
        ("MCOEV MCOPSTN1", True),
        ("MCOEV", False),
        ("MCOPSTNPP", False),
    ],
)
def test_who_may_dial_out_of_meetings(licences: str, allowed: bool) -> None:
    assert may_dial_out_of_meetings(a_user("anna", *licences.split())) is allowed


@pytest.mark.parametrize(
    ("licences", "charged"),
    [("MCOMEETACPEA", True), ("MCOMEETACPEA MCOMEETADV", False), ("MCOMEETADV", False)],
)
def test_a_subscription_wins_over_pay_per_minute(licences: str, charged: bool) -> None:
    assert pays_per_minute(a_user("olga", *licences.split())) is charged
