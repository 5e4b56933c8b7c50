"""A full journal takes no more metered calls; free ones, repeats and reports go on."""

from __future__ import annotations

import pytest

from callgate.v1 import authorization_pb2 as pb
from switchboards import Served, Switchboard, authorize, extend, failure, settle

MINUTE = 100_000


async def test_a_metered_call_is_unavailable(board: Switchboard, engine: Served) -> None:
    board.full.add("contoso")
    before = await board.journal()

    told = await failure(engine.stub.AuthorizeCall(authorize()))
    legs = pb.AuthorizeCallsRequest(legs=[authorize()], mode=pb.LEG_MODE_ALL_OR_NOTHING)
    told_of_legs = await failure(engine.stub.AuthorizeCalls(legs))

    assert told[0] == told_of_legs[0] == "UNAVAILABLE"
    assert await board.journal() == before


async def test_what_was_answered_is_repeated(board: Switchboard, engine: Served) -> None:
    call = authorize()
    legs = pb.AuthorizeCallsRequest(legs=[authorize()], mode=pb.LEG_MODE_ALL_OR_NOTHING)
    granted = await engine.stub.AuthorizeCall(call)
    granted_legs = await engine.stub.AuthorizeCalls(legs)
    running = authorize()
    await engine.stub.AuthorizeCall(running)
    extended = await engine.stub.ExtendCall(extend(running, 2, 30))
    board.full.add("contoso")

    assert await engine.stub.AuthorizeCall(call) == granted
    assert await engine.stub.AuthorizeCalls(legs) == granted_legs
    assert await engine.stub.ExtendCall(extend(running, 2, 30)) == extended


async def test_a_refusal_is_told_as_ever(board: Switchboard, engine: Served) -> None:
    board.full.add("contoso")

    refused = await engine.stub.AuthorizeCall(authorize(user_id="nobody"))

    assert refused.refusal.reason == pb.REASON_USER_UNKNOWN


async def test_a_running_call_gets_a_last_short_slice_and_is_settled(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=60)
    await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")

    last = await engine.stub.ExtendCall(extend(call, 2, 30, more=300))
    no_more = await engine.stub.ExtendCall(extend(call, 3, 60, more=300))
    at_its_end = await engine.stub.ExtendCall(extend(call, 4, 120, more=300))
    settled = await engine.stub.SettleCall(settle(call, 5, 125))

    grants = [answer.grant for answer in (last, no_more, at_its_end)]
    assert [grant.granted_duration.seconds for grant in grants] == [120, 120, 120]
    assert [grant.final for grant in grants] == [True, True, True]
    assert [usage.debited.micros for usage in settled.usages] == [3 * MINUTE]


async def test_a_call_that_holds_enough_is_told_that_it_is_the_last(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")

    extended = await engine.stub.ExtendCall(extend(call, 2, 30, more=300))

    assert (extended.grant.granted_duration.seconds, extended.grant.final) == (300, True)


async def test_a_call_goes_on_when_the_archive_is_back(board: Switchboard, engine: Served) -> None:
    call = authorize(seconds=60)
    await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")
    await engine.stub.ExtendCall(extend(call, 2, 30, more=300))
    board.full.clear()

    extended = await engine.stub.ExtendCall(extend(call, 3, 60, more=300))

    assert (extended.grant.granted_duration.seconds, extended.grant.final) == (360, False)


async def test_a_mere_report_is_taken(board: Switchboard, engine: Served) -> None:
    call = authorize(seconds=120)
    await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")

    reported = await engine.stub.ExtendCall(extend(call, 2, 70, more=0))

    assert (reported.grant.granted_duration.seconds, reported.grant.final) == (120, False)
    assert (await board.money())[2] == 2 * MINUTE


@pytest.mark.parametrize("in_legs", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
async def test_a_running_call_is_announced(
    board: Switchboard, engine: Served, is_known: bool, in_legs: bool
) -> None:
    call = authorize(seconds=60)
    if is_known:
        await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")
    announced = authorize(call_id=call.call_id, sequence=2, seconds=300)
    announced.running_call.used_duration.seconds = 70

    if in_legs:
        legs = pb.AuthorizeCallsRequest(legs=[announced], mode=pb.LEG_MODE_ALL_OR_NOTHING)
        (answer,) = (await engine.stub.AuthorizeCalls(legs)).answers
    else:
        answer = await engine.stub.AuthorizeCall(announced)

    assert (answer.grant.granted_duration.seconds, answer.grant.final) == (180, True)
    assert (await board.money())[2] == 2 * MINUTE


async def test_a_free_call_is_taken(board: Switchboard, engine: Served) -> None:
    board.full.add("contoso")
    inbound = authorize(inbound_call=pb.InboundCall(user_id="adele"))

    granted = await engine.stub.AuthorizeCall(inbound)
    extended = await engine.stub.ExtendCall(extend(inbound, 2, 30))

    assert granted.grant.purse.kind == pb.PURSE_KIND_FREE
    assert extended.grant.granted_duration.seconds == 90
