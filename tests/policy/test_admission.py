"""The decision as a whole: one order of reasons, and purses in their order, whatever is asked."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from facts import (
    NOW_MS,
    SKUS,
    UNRESTRICTED,
    a_call,
    a_resource_account,
    a_service_number,
    a_user,
    patterns,
    some_facts,
)
from policy.admission import admit
from policy.decision import (
    Admission,
    CreditsPurse,
    FreePurse,
    PoolPurse,
    Refusal,
)
from policy.facts import (
    Call,
    CallKind,
    ConferenceScope,
    Connectivity,
    Facts,
    FundingModel,
    PstnScope,
    Restriction,
)
from policy.payer import TRAITS
from policy.reasons import Reason

# What only the ledger can find out.
LEDGERS_REASONS = {
    Reason.SPEND_LIMIT_REACHED,
    Reason.CONCURRENT_CALLS,
    Reason.CALL_ID_IN_USE,
    Reason.ALLOWANCE_EXHAUSTED,
    Reason.TOLL_FREE_NEEDS_CREDIT,
    Reason.CREDITS_EXHAUSTED,
}
CLOSED = Restriction("Closed", ConferenceScope.NONE, PstnScope.NONE)
TENANT_FAULTS: dict[str, Any] = {
    "frozen": True,
    "blocked_prefixes": ("68",),
    "restriction": CLOSED,
    "credits_enabled": False,
    "funding_model": FundingModel.POST_PAID,
    "overage_enabled": False,
    "block_inbound": True,
    "blocked_callers": patterns("."),
}
# (the reason told, what mends it), until nothing is left to object to.
OUTBOUND_MENDS: tuple[tuple[Reason, dict[str, Any]], ...] = (
    (Reason.NUMBER_INVALID, {"to": "+68221234"}),
    (Reason.USER_UNKNOWN, {"by": "anna"}),
    (Reason.ACCOUNT_FROZEN, {"frozen": False}),
    (Reason.LICENCE_MISSING, {"licences": "MCOEV MCOPSTN1"}),
    (Reason.DESTINATION_BLOCKED, {"blocked_prefixes": ()}),
    (Reason.DESTINATION_RESTRICTED, {"restriction": UNRESTRICTED}),
    (Reason.DESTINATION_UNRATED, {"to": "+442079460000"}),
    (Reason.TENANT_NOT_ENABLED, {"credits_enabled": True}),
    (Reason.PAYER_NOT_ENABLED, {"licences": "MCOEV MCOPSTN1 MCOPSTNPP"}),
    (Reason.OVERAGE_OFF, {"overage_enabled": True}),
)
ARRIVAL_MENDS: tuple[tuple[Reason, dict[str, Any]], ...] = (
    (Reason.USER_UNKNOWN, {"by": "anna"}),
    (Reason.SERVICE_NUMBER_UNKNOWN, {"to": "+18005550100"}),
    (Reason.CALLER_BLOCKED, {"block_inbound": False}),
    (Reason.ACCOUNT_FROZEN, {"frozen": False}),
    (Reason.LICENCE_MISSING, {"licences": "MCOMEETADV"}),
    (Reason.TOLL_FREE_UNREACHABLE, {"from": "+14255550123"}),
    (Reason.TOLL_FREE_NOT_ALLOWED, {"allow_toll_free_dial_in": True}),
    (Reason.DESTINATION_UNRATED, {"currency": "USD"}),
    (Reason.TENANT_NOT_ENABLED, {"credits_enabled": True}),
    (Reason.OVERAGE_OFF, {"overage_enabled": True}),
)


def test_every_kind_of_call_has_its_traits() -> None:
    assert set(TRAITS) == set(CallKind)


@pytest.mark.parametrize("mends", [OUTBOUND_MENDS, ARRIVAL_MENDS], ids=["outbound", "arrival"])
def test_of_many_objections_the_earliest_is_told(
    mends: tuple[tuple[Reason, dict[str, Any]], ...],
) -> None:
    arriving = mends is ARRIVAL_MENDS
    question: dict[str, Any] = TENANT_FAULTS | {
        "kind": CallKind.SERVICE_NUMBER if arriving else CallKind.USER,
        "to": "+18005550199" if arriving else "12ab",
        "by": "nobody",
        "from": "+33142685300",
        "licences": "",
        "allow_toll_free_dial_in": False,
        "currency": "CHF" if arriving else "USD",
    }

    for reason, mend in mends:
        assert _reason(question) is reason
        question |= mend

    assert _reason(question) is None
    assert [*mends] == sorted(mends, key=lambda mended: [*Reason].index(mended[0]))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_asked_the_answer_is_well_formed(seed: int) -> None:
    chance = Random(seed)
    for _ in range(50):
        call, world = _some_call(chance), _some_world(chance)

        decision = admit(call, world, NOW_MS)

        if isinstance(decision, Refusal):
            assert decision.reason not in LEDGERS_REASONS
        else:
            _assert_well_formed(decision, call)
        assert isinstance(admit(call, world, NOW_MS, explain=True), type(decision))


def _reason(question: dict[str, Any]) -> Reason | None:
    """Ask with the licences, the call and the tenant that a question spells flat."""
    own = {"kind", "to", "by", "from", "licences", "allow_toll_free_dial_in"}
    tenant = {name: value for name, value in question.items() if name not in own}
    allowed = question["allow_toll_free_dial_in"]
    user = a_user("anna", *question["licences"].split(), allow_toll_free_dial_in=allowed)
    call = a_call(
        question["to"], question["by"], kind=question["kind"], calling_number=question["from"]
    )
    decision = admit(call, some_facts(user, a_service_number(), **tenant), NOW_MS)
    return decision.reason if isinstance(decision, Refusal) else None


def _assert_well_formed(decision: Admission, call: Call) -> None:
    kinds = [type(purse) for purse in decision.purses]
    pools = [purse for purse in decision.purses if isinstance(purse, PoolPurse)]

    # Free alone, or minutes and then credits, each at most once at its end.
    assert kinds
    assert FreePurse not in kinds or kinds == [FreePurse]
    assert CreditsPurse not in kinds[:-1]
    for pool in pools:
        assert pool.counter in [counter.name for counter in pool.counters]
        assert all(counter.size_seconds >= 0 for counter in pool.counters)
    assert len({(pool.pool_id, pool.counter) for pool in pools}) == len(pools)
    assert decision.call_type
    assert decision.called_number or TRAITS[call.kind].arriving


def _some_call(chance: Random) -> Call:
    return Call(
        kind=chance.choice(list(CallKind)),
        tenant_id="contoso",
        called_number=chance.choice(
            ["+14255550123", "+442079460000", "+18005550100", "+19005551234", "08441234567", "7"]
        ),
        calling_number=chance.choice(["", "+14255550123", "+33142685300", "anonymous", "+1800"]),
        account_ids=chance.choice([(), ("anna",), ("desk",), ("desk", "anna"), ("nobody",)]),
        location=chance.choice(["", "US", "FR"]),
        requested_seconds=60,
        emergency_callback=chance.random() < 0.2,
    )


def _some_world(chance: Random) -> Facts:
    licences = [name for name in SKUS if chance.random() < 0.4]
    location = chance.choice(["US", "GB", "CA", "IT", "ZW"])
    return some_facts(
        a_user(
            "anna",
            *licences,
            location=location,
            connectivity=chance.choice(list(Connectivity)),
            shared_calling_account_id=chance.choice(["", "", "desk"]),
            spend_limit_micros=chance.choice([None, 1]),
            frozen=chance.random() < 0.1,
        ),
        a_resource_account("desk", *(name for name in SKUS if chance.random() < 0.4)),
        a_service_number(toll_free=chance.random() < 0.7),
        funding_model=chance.choice(list(FundingModel)),
        overage_enabled=chance.random() < 0.5,
        auto_recharge=chance.random() < 0.5,
        overflow_to_calling_plan=chance.random() < 0.5,
        per_minute_conferencing=chance.random() < 0.5,
        credits_enabled=chance.random() < 0.8,
    )
