"""What an explained decision tells: the checks in their order, and what would help."""

from __future__ import annotations

import pytest

from facts import (
    NOW_MS,
    a_call,
    a_resource_account,
    a_service_number,
    a_user,
    patterns,
    some_facts,
)
from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import (
    Call,
    CallKind,
    ConferenceScope,
    Facts,
    FundingModel,
    PstnScope,
    Restriction,
)

TOLL_FREE_CALL = Call(
    CallKind.SERVICE_NUMBER,
    "contoso",
    "+18005550100",
    calling_number="+14255550123",
    account_ids=("olga",),
)


def test_a_grant_tells_every_check_in_the_order_of_the_procedure() -> None:
    world = some_facts(a_user("anna", "MCOEV", "MCOPSTN2", "MCOPSTNPP"))

    decision = admit(a_call(), world, NOW_MS, explain=True)

    assert isinstance(decision, Admission)
    assert [check.rule for check in decision.checks] == [
        *("number", "payer", "frozen", "licence", "blocked", "restriction", "reach"),
        *("allowance", "rate", "tenant_credits", "payer_credits", "funding", "overage"),
    ]
    assert all(check.passed for check in decision.checks)


def test_a_refusal_tells_the_checks_up_to_the_one_that_failed() -> None:
    domestic = Restriction("DomesticOnly", ConferenceScope.ANY, PstnScope.DOMESTIC)
    world = some_facts(a_user("anna", "MCOEV", "MCOPSTN2", restriction=domestic))

    decision = admit(a_call("+442079460000"), world, NOW_MS, explain=True)

    last = decision.checks[-1]
    assert (last.rule, last.passed) == ("restriction", False)
    assert dict(last.inputs) == {
        "restriction": "DomesticOnly",
        "scope": "domestic",
        "from": "US",
        "to": "GB",
    }


def test_minutes_without_credits_behind_them_tell_why() -> None:
    world = some_facts(a_user("anna", "MCOEV", "MCOPSTN1"))

    decision = admit(a_call(), world, NOW_MS, explain=True)

    assert isinstance(decision, Admission)
    assert [(check.rule, check.passed) for check in decision.checks[-2:]] == [
        ("tenant_credits", True),
        ("payer_credits", False),
    ]


@pytest.mark.parametrize(
    ("call", "world", "words"),
    [
        (a_call("12ab"), some_facts(a_user()), "country code"),
        (a_call("+14255550123", "nobody"), some_facts(), "'nobody'"),
        (TOLL_FREE_CALL, some_facts(a_user("olga")), "+18005550100"),
        (
            a_call("", kind=CallKind.INBOUND, calling_number="+14255550123"),
            some_facts(a_user(), block_inbound=True, blocked_callers=patterns("^1425")),
            "Exempt +14255550123",
        ),
        (a_call(), some_facts(a_user(), frozen=True), "Unfreeze the tenant contoso"),
        (a_call(), some_facts(a_user(frozen=True)), "Unfreeze anna"),
        (a_call(), some_facts(a_user()), "Phone System (MCOEV) to anna and a Calling Plan to anna"),
        (a_call(), some_facts(a_user("anna", "MCOEV")), "Assign a Calling Plan to anna"),
        (a_call(), some_facts(a_user("anna", "MCOPSTN1")), "Assign Phone System (MCOEV) to anna."),
        (
            a_call(),
            some_facts(
                a_user("anna", "MCOEV", shared_calling_account_id="shared"),
                a_resource_account("shared"),
            ),
            "Assign a Calling Plan to shared",
        ),
        (
            a_call(kind=CallKind.MEETING_DIAL_OUT),
            some_facts(a_user()),
            "Audio Conferencing (MCOMEETADV) to anna",
        ),
        (
            a_call("+14255550123", "desk", kind=CallKind.QUEUE_TRANSFER),
            some_facts(a_resource_account("desk")),
            "PHONESYSTEM_VIRTUALUSER) to desk",
        ),
        (
            a_call(),
            some_facts(a_user("anna", "MCOEV", "MCOPSTN1"), blocked_prefixes=("1425",)),
            "Take 1425 off",
        ),
        (
            TOLL_FREE_CALL,
            some_facts(
                a_user("olga", "MCOMEETADV", allow_toll_free_dial_in=False), a_service_number()
            ),
            "meetings of olga",
        ),
        (
            a_call("+68221234"),
            some_facts(a_user("anna", "MCOEV", "MCOPSTN1")),
            "rate in USD for Cook Islands",
        ),
        (
            TOLL_FREE_CALL,
            some_facts(a_user("olga", "MCOMEETADV"), a_service_number(), currency="CHF"),
            "rate in CHF for calls from US to +18005550100",
        ),
        (
            a_call("+442079460000"),
            some_facts(a_user("anna", "MCOEV", "MCOPSTN1"), credits_enabled=False),
            "credits for the tenant contoso",
        ),
        (
            a_call("+442079460000"),
            some_facts(a_user("anna", "MCOEV", "MCOPSTN1")),
            "MCOPSTNPP) to anna",
        ),
        (
            a_call("+442079460000"),
            some_facts(
                a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP"),
                funding_model=FundingModel.POST_PAID,
                overage_enabled=False,
            ),
            "Switch overage on",
        ),
    ],
)
def test_a_refusal_names_the_smallest_thing_that_would_help(
    call: Call, world: Facts, words: str
) -> None:
    decision = admit(call, world, NOW_MS, explain=True)

    assert isinstance(decision, Refusal)
    assert words in decision.remedy


@pytest.mark.parametrize("number", ["+19005551234", "09012345678"])
def test_where_nothing_would_help_nothing_is_told(number: str) -> None:
    location = "GB" if number.startswith("09") else "US"
    world = some_facts(a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP", location=location))

    decision = admit(a_call(number), world, NOW_MS, explain=True)

    assert isinstance(decision, Refusal)
    assert decision.remedy == ""


def test_without_explain_nothing_is_told() -> None:
    world = some_facts(a_user())

    decision = admit(a_call(), world, NOW_MS)

    assert isinstance(decision, Refusal)
    assert (decision.checks, decision.remedy) == ((), "")
