"""Several legs in one step, lists of calls, and calls that are announced or charged unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from facts import a_service_number, a_user
from server.archive import ArchivedCall, ArchivedPurse, ArchivedUse
from server.archive.changes import CallState
from switchboards import (
    GATEWAY,
    Served,
    Switchboard,
    adele,
    authorize,
    extend,
    failure,
    settle,
    switchboard,
)

MINUTE = 100_000
TOLL_FREE = "+18005550100"


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso with 0.25: adele calls on credits, bob on a plan of his own."""
    bob = a_user("bob", "MCOEV", "MCOPSTN5", "MCOPSTNPP")
    carol = a_user("carol", "MCOEV", "MCOMEETADV", "MCOPSTNC")
    tenant = adele(bob, carol, a_service_number(TOLL_FREE))
    async with switchboard(url, tenant, charge_unknown_calls=True) as board:
        await board.open(250_000)
        yield board


def legs(*calls: pb.AuthorizeCallRequest, fit: bool = False) -> pb.AuthorizeCallsRequest:
    mode = pb.LEG_MODE_AS_MANY_AS_FIT if fit else pb.LEG_MODE_ALL_OR_NOTHING
    return pb.AuthorizeCallsRequest(legs=calls, mode=mode)


async def test_a_conference_that_does_not_fit_is_refused_and_holds_nothing(
    board: Switchboard, engine: Served
) -> None:
    """A5: three legs, the third does not fit, all or nothing: denied, nothing is held."""
    question = legs(authorize(), authorize(), authorize())

    told = await engine.stub.AuthorizeCalls(question)

    reasons = [answer.refusal.reason for answer in told.answers]
    assert reasons == [pb.REASON_CREDITS_EXHAUSTED] * 3
    assert await board.money() == (250_000, 0, 0)
    again = await engine.raw("AuthorizeCalls", question)
    assert again == told.SerializeToString(deterministic=True)


async def test_as_many_legs_as_fit_are_granted_in_their_order(
    board: Switchboard, engine: Served
) -> None:
    told = await engine.stub.AuthorizeCalls(legs(authorize(), authorize(), authorize(), fit=True))

    outcomes = [answer.WhichOneof("outcome") for answer in told.answers]
    assert outcomes == ["grant", "grant", "refusal"]
    assert await board.money() == (50_000, 2 * MINUTE, 0)


async def test_legs_are_one_step_of_the_store_and_live_their_own_lives(
    board: Switchboard, engine: Served
) -> None:
    first, second = authorize(), authorize()
    await engine.stub.AuthorizeCalls(legs(first, second))

    settled = await engine.stub.SettleCall(settle(first, 2, 10))

    assert settled.usages[0].debited.micros == MINUTE
    assert await board.money() == (50_000, MINUTE, MINUTE)


async def test_an_emergency_leg_is_granted_whatever_becomes_of_the_others(
    board: Switchboard, engine: Served
) -> None:
    emergency = pb.AuthorizeCallRequest(called_number="911")

    refused = await engine.stub.AuthorizeCalls(
        legs(authorize(), emergency, authorize(), authorize())
    )
    broken = await engine.stub.AuthorizeCalls(
        legs(authorize(sequence=-1), emergency, authorize(tenant_id="nobody"))
    )
    modeless = await engine.stub.AuthorizeCalls(pb.AuthorizeCallsRequest(legs=[emergency]))

    assert refused.answers[1].grant.emergency
    assert [one.WhichOneof("outcome") for one in refused.answers[2:]] == ["refusal"] * 2
    assert broken.answers[1].grant.emergency
    assert [one.WhichOneof("outcome") for one in broken.answers] == [None, "grant", None]
    assert modeless.answers[0].grant.emergency


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (legs(), "legs"),
        (legs(*(authorize() for _ in range(51))), "legs"),
        (pb.AuthorizeCallsRequest(legs=[authorize()]), "mode"),
        (legs(authorize(), authorize(gateway_id="")), "legs[1].gateway_id"),
        (legs(authorize(call_id="same"), authorize(call_id="same")), "legs[1].call_id"),
        (legs(authorize(), authorize(dry_run=True)), "legs[1].dry_run"),
    ],
    ids=["none", "too many", "mode", "gateway", "call", "dry run"],
)
async def test_a_wrong_leg_is_named(
    board: Switchboard, engine: Served, question: pb.AuthorizeCallsRequest, field: str
) -> None:
    told = await failure(engine.stub.AuthorizeCalls(question))

    assert told == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": field})
    assert await board.money() == (250_000, 0, 0)


async def test_minutes_end_inside_a_call_and_credits_go_on_to_the_second(
    board: Switchboard, engine: Served
) -> None:
    """E2: minutes to the last second, then credits; at credit 0 the call is final, in time."""
    call = authorize("+14255550123", user_id="bob", seconds=300)
    await engine.stub.AuthorizeCall(call)
    grants = [300]
    finals = []
    for sequence in range(2, 26):
        told = await engine.stub.ExtendCall(extend(call, sequence, grants[-1], more=300))
        grants.append(told.grant.granted_duration.seconds)
        finals.append(told.grant.final)

    # 120 minutes of the plan, then two of credits: 0.25 buys no third.
    assert grants[-1] == 7_320
    assert finals == [False] * 23 + [True]
    settled = await engine.stub.SettleCall(settle(call, 26, 7_310))
    kinds = [usage.purse.kind for usage in settled.usages]
    assert kinds == [pb.PURSE_KIND_POOL, pb.PURSE_KIND_CREDITS]
    assert [usage.used_duration.seconds for usage in settled.usages] == [7_200, 110]
    assert [usage.debited.micros for usage in settled.usages] == [0, 2 * MINUTE]
    assert await board.money() == (50_000, 0, 2 * MINUTE)


async def test_both_legs_of_a_transfer_are_billed_to_the_right_parties(
    board: Switchboard, engine: Served
) -> None:
    """E15: a toll-free caller is connected on: the tenant pays one leg, the user the other."""
    arriving = authorize(
        TOLL_FREE,
        calling_number="+12025550101",
        service_number_call=pb.ServiceNumberCall(organizer_id="carol"),
    )
    onward = authorize(transferred_call=pb.TransferredCall(user_id="adele"))

    told = await engine.stub.AuthorizeCalls(legs(arriving, onward))
    await engine.stub.SettleCall(settle(arriving, 2, 60))
    settled = await engine.stub.SettleCall(settle(onward, 2, 60))

    payers = [(one.payer.kind, one.payer.account_id) for one in told.answers]
    assert payers == [(pb.PAYER_KIND_TENANT, ""), (pb.PAYER_KIND_USER, "adele")]
    assert settled.usages[0].debited.micros == MINUTE
    assert await board.money() == (130_000, 0, 20_000 + MINUTE)


# --- Lists -------------------------------------------------------------------------------------


async def test_running_calls_are_listed_a_page_at_a_time(
    board: Switchboard, engine: Served
) -> None:
    calls = [
        authorize("+14255550123", user_id="bob", seconds=1, call_id=f"call-{number}")
        for number in range(25)
    ]
    for call in calls:
        await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(calls[0], 2, 1))
    found: list[pb.CallState] = []
    token = ""
    while True:
        page = await engine.stub.ListCalls(
            pb.ListCallsRequest(tenant_id="contoso", page_size=7, page_token=token)
        )
        assert len(page.calls) <= 7
        found += page.calls
        token = page.next_page_token
        if not token:
            break

    assert sorted(call.call_id for call in found) == sorted(call.call_id for call in calls[1:])
    one = found[0]
    assert (one.gateway_id, one.sequence, one.payer.account_id) == (GATEWAY, 1, "bob")
    assert one.granted_duration.seconds == 1
    assert one.expire_time.seconds > one.granted_duration.seconds


async def test_calls_of_other_tenants_are_not_listed_whatever_is_asked(
    board: Switchboard, engine: Served
) -> None:
    await engine.stub.AuthorizeCall(authorize())
    everything = await engine.stub.ListCalls(pb.ListCallsRequest(tenant_id="contoso"))
    assert len(everything.calls) == 1

    for token in ("x", "0:", "1:!", "zz:aa"):
        told = await failure(
            engine.stub.ListCalls(pb.ListCallsRequest(tenant_id="contoso", page_token=token))
        )
        assert told == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": "page_token"})


# --- Calls that the ledger does not know -------------------------------------------------------


async def test_a_call_announced_anew_is_charged_less_what_the_archive_has(
    board: Switchboard, engine: Served
) -> None:
    call = authorize()
    board.archive.calls["contoso", GATEWAY, call.call_id] = ArchivedCall(
        "opened",
        CallState.LOST,
        used_seconds=60,
        uses=(ArchivedUse(ArchivedPurse("credits"), 60, MINUTE),),
    )
    call.running_call.used_duration.CopyFrom(Duration(seconds=90))

    told = await engine.stub.AuthorizeCall(call)
    settled = await engine.stub.SettleCall(settle(call, 2, 100))

    assert told.grant.granted_duration.seconds >= 100
    # Two minutes cost 0.20, of which 0.10 was debited before the store was lost.
    assert await board.money() == (150_000, 0, MINUTE)
    assert settled.usages[0].debited.micros == 2 * MINUTE


async def test_a_known_call_announced_again_is_charged_once(
    board: Switchboard, engine: Served
) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    call.sequence = 2
    call.running_call.used_duration.CopyFrom(Duration(seconds=30))

    first = await engine.raw("AuthorizeCall", call)

    assert await engine.raw("AuthorizeCall", call) == first
    await engine.stub.SettleCall(settle(call, 3, 45))
    assert await board.money() == (150_000, 0, MINUTE)


async def test_an_unknown_call_is_charged_where_that_is_set(
    board: Switchboard, engine: Served
) -> None:
    """B8: a Settle without an Authorize is recorded as a debit, by configuration; once."""
    what = authorize(tenant_id="", gateway_id="", call_id="", sequence=0)
    report = settle(authorize(), 1, 90, unknown_call=what)

    first = await engine.raw("SettleCall", report)

    settled = pb.SettleCallResponse.FromString(first)
    assert [usage.debited.micros for usage in settled.usages] == [2 * MINUTE]
    assert await engine.raw("SettleCall", report) == first
    assert await board.money() == (50_000, 0, 2 * MINUTE)


async def test_an_unknown_call_that_the_rules_forbid_is_recorded_and_not_charged(
    board: Switchboard, engine: Served
) -> None:
    report = settle(authorize(), 5, 90, unknown_call=authorize(call_id="", user_id="nobody"))

    settled = await engine.stub.SettleCall(report)

    assert not settled.usages
    assert settled.overrun_duration.seconds == 90
    assert await board.money() == (250_000, 0, 0)
    assert "settled" in await board.journal()


async def test_an_unknown_call_is_no_other_call_than_the_one_settled(engine: Served) -> None:
    report = settle(authorize(), 5, 90, unknown_call=authorize(call_id="another"))

    told = await failure(engine.stub.SettleCall(report))

    assert told[2] == {"field": "unknown_call.call_id"}
