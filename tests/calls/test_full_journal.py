"""A full journal takes no more metered calls; free ones, repeats and reports go on."""

from __future__ import annotations

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


async def test_a_running_call_gets_no_more_and_is_settled(
    board: Switchboard, engine: Served
) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    board.full.add("contoso")

    told = await failure(engine.stub.ExtendCall(extend(call, 2, 30)))
    settled = await engine.stub.SettleCall(settle(call, 3, 35))

    assert told[0] == "UNAVAILABLE"
    assert [usage.debited.micros for usage in settled.usages] == [MINUTE]


async def test_a_free_call_is_taken(board: Switchboard, engine: Served) -> None:
    board.full.add("contoso")
    inbound = authorize(inbound_call=pb.InboundCall(user_id="adele"))

    granted = await engine.stub.AuthorizeCall(inbound)
    extended = await engine.stub.ExtendCall(extend(inbound, 2, 30))

    assert granted.grant.purse.kind == pb.PURSE_KIND_FREE
    assert extended.grant.granted_duration.seconds == 90
