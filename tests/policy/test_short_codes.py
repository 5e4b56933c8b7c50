"""Short codes: free for everybody, paid by credits alone, or refused; never no number at all."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

import number_facts
from facts import a_call, a_catalogue, a_user, some_facts
from policy.admission import admit
from policy.decision import Admission, CreditsPurse, FreePurse, FreeReason, Refusal
from policy.facts import (
    ConferenceScope,
    Connectivity,
    DialPlanRule,
    Facts,
    PstnScope,
    Restriction,
    ShortCode,
    ShortCodeClass,
)
from policy.reasons import Reason

NOW_MS = 1_800_000_000_000
CODES = {
    "US": {
        code: ShortCode("US", code, treatment, code)
        for code, treatment in (
            ("988", ShortCodeClass.FREE),
            ("411", ShortCodeClass.RATED),
            ("611", ShortCodeClass.REFUSED),
            ("116xxx", ShortCodeClass.REFUSED),
            ("116111", ShortCodeClass.FREE),
        )
    }
}
PLAN_USER = a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP")
NOTHING = Restriction("none", ConferenceScope.NONE, PstnScope.NONE)


def world(user: Any = PLAN_USER, **changes: Any) -> Facts:
    rates = number_facts.rows("rate-411", micros_per_minute=1_500_000)
    catalogue = a_catalogue()
    usd = {**catalogue.rates["USD"], "1411": rates}
    catalogue = replace(catalogue, short_codes=CODES, rates={**catalogue.rates, "USD": usd})
    return some_facts(user, catalogue=catalogue, **changes)


@pytest.mark.parametrize("dialled", ["988", "9-8-8", " 988 ", "116111", "116-111"])
@pytest.mark.parametrize(
    "facts",
    [
        world(),
        world(a_user()),
        world(a_user(frozen=True)),
        world(frozen=True, restriction=NOTHING, blocked_prefixes=("1", "9", "88")),
        world(a_user("anna", concurrent_calls_limit=0)),
    ],
)
def test_a_free_code_is_dialled_by_everybody_and_costs_nothing(dialled: str, facts: Facts) -> None:
    said = admit(a_call(dialled), facts, NOW_MS)

    assert isinstance(said, Admission), said
    assert said.purses == (FreePurse(FreeReason.SHORT_CODE, ""),)
    assert said.called_number == re.sub("[- ]", "", dialled)
    assert said.concurrency is None


def test_a_rated_code_is_paid_by_credits_and_by_no_minutes() -> None:
    said = admit(a_call("411"), world(), NOW_MS)

    assert isinstance(said, Admission), said
    [purse] = said.purses
    assert isinstance(purse, CreditsPurse)
    assert purse.rate.micros_per_minute == 1_500_000
    assert said.called_number == "411"


@pytest.mark.parametrize(
    ("dialled", "facts", "reason", "remedy"),
    [
        ("611", world(), Reason.DESTINATION_BLOCKED, "short_codes_extra.csv"),
        ("116117", world(), Reason.DESTINATION_BLOCKED, "Let 116xxx of US be free or rated"),
        ("411", world(a_user()), Reason.LICENCE_MISSING, "Assign"),
        ("411", world(blocked_prefixes=("1411",)), Reason.DESTINATION_BLOCKED, "Take 1411 off"),
        (
            "411",
            world(currency="EUR"),
            Reason.DESTINATION_UNRATED,
            "Add a rate in EUR for 411 (1411)",
        ),
        ("412", world(), Reason.NUMBER_INVALID, "country code"),
        ("4111", world(), Reason.NUMBER_INVALID, "country code"),
        ("+411", world(), Reason.NUMBER_INVALID, "country code"),
    ],
)
def test_a_code_that_is_not_dialled_is_told_why(
    dialled: str, facts: Facts, reason: Reason, remedy: str
) -> None:
    said = admit(a_call(dialled), facts, NOW_MS, explain=True)

    assert isinstance(said, Refusal), said
    assert said.reason is reason
    assert remedy in said.remedy


def test_a_blocked_prefix_of_another_country_blocks_no_code() -> None:
    said = admit(a_call("411"), world(blocked_prefixes=("41", "11")), NOW_MS)

    assert isinstance(said, Admission)


def test_the_dial_plan_comes_before_the_codes() -> None:
    rule = DialPlanRule("extension", re.compile(r"(\d{3})"), "+14255550$1")

    said = admit(a_call("988"), world(dial_plan=(rule,)), NOW_MS)

    assert isinstance(said, Admission)
    assert said.called_number == "+14255550988"


def test_the_users_own_carrier_takes_what_is_refused_here() -> None:
    user = a_user("anna", "MCOEV", connectivity=Connectivity.DIRECT_ROUTING)

    said = admit(a_call("611"), world(user), NOW_MS)

    assert isinstance(said, Admission)
    assert said.called_number == "611"
