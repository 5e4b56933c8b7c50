"""The verbs of a call's life: each situation has one answer, and moves money at most once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from switchboards import Served, Switchboard, authorize, extend, failure, release, settle

MINUTE = 100_000


async def spend(engine: Served, calls: int) -> None:
    """Spend half a unit a call."""
    for _ in range(calls):
        call = authorize(seconds=300)
        await engine.stub.AuthorizeCall(call)
        await engine.stub.SettleCall(settle(call, 2, 300))


async def test_a_call_from_set_up_to_hang_up(board: Switchboard, engine: Served) -> None:
    """B5: interim reports are cumulative; 30 s and then 50 s in all are 50 s, not 80."""
    call = authorize(seconds=60)

    granted = await engine.stub.AuthorizeCall(call)
    extended = await engine.stub.ExtendCall(extend(call, 2, 30, more=60))
    settled = await engine.stub.SettleCall(settle(call, 3, 50))

    assert granted.grant.granted_duration.seconds == 60
    assert extended.grant.granted_duration.seconds == 120
    assert [usage.used_duration.seconds for usage in extended.usages] == [30]
    assert extended.failure_handling == granted.failure_handling
    (usage,) = settled.usages
    assert (usage.used_duration.seconds, usage.debited.micros) == (50, MINUTE)
    assert usage.purse.kind == pb.PURSE_KIND_CREDITS
    assert settled.overrun_duration.seconds == 0
    assert await board.money() == (5_900_000, 0, MINUTE)


async def test_ringing_costs_nothing(board: Switchboard, engine: Served) -> None:
    call = authorize(seconds=120)
    await engine.stub.AuthorizeCall(call)
    assert await board.money() == (5_800_000, 2 * MINUTE, 0)

    released = await engine.stub.ReleaseCall(release(call, 2))

    assert released.released.micros == 2 * MINUTE
    assert await board.money() == (6_000_000, 0, 0)


async def test_a_settlement_of_no_seconds_costs_nothing(board: Switchboard, engine: Served) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)

    settled = await engine.stub.SettleCall(settle(call, 2, 0))

    assert not settled.usages
    assert await board.money() == (6_000_000, 0, 0)


@pytest.mark.parametrize("times", [1, 5])
async def test_a_settlement_asked_again_is_the_same_byte_for_byte(
    board: Switchboard, engine: Served, times: int
) -> None:
    """B1: the reply of a Settle is lost; asked again, also at another server, it is one debit."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    first = await engine.raw("SettleCall", settle(call, 2, 42))

    async with board.serve() as other:
        for _ in range(times):
            assert await engine.raw("SettleCall", settle(call, 2, 42)) == first
            assert await other.raw("SettleCall", settle(call, 2, 42)) == first

    assert await board.money() == (5_900_000, 0, MINUTE)
    assert (await board.journal()).count("settled") == 1


async def test_an_extension_asked_again_is_the_same_byte_for_byte_whatever_happened(
    board: Switchboard, engine: Served
) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    first = await engine.raw("ExtendCall", extend(call, 2, 30))
    money = await board.money()
    await engine.stub.AuthorizeCall(authorize(seconds=300))
    await board.change(frozen=True)
    board.clock.pass_seconds(5)

    again = await engine.raw("ExtendCall", extend(call, 2, 30))

    assert again == first
    assert (await board.money())[2] == money[2]


async def test_a_grant_lost_on_the_way_is_one_reservation(
    board: Switchboard, engine: Served
) -> None:
    """B11: the server dies between grant and reply; the retry at another finds one reservation."""
    call = authorize()
    first = await engine.raw("AuthorizeCall", call)

    async with board.serve() as restarted:
        again = await restarted.raw("AuthorizeCall", call)

    assert again == first
    assert await board.money() == (5_900_000, MINUTE, 0)


@pytest.mark.parametrize("lost", ["settled", "released", "expired"])
async def test_what_comes_after_the_end_has_its_own_answer_and_moves_nothing_twice(
    board: Switchboard, engine: Served, lost: str
) -> None:
    """B7: Settle twice, Cancel after Settle, Settle after Cancel, both after expiry."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    if lost == "settled":
        await engine.stub.SettleCall(settle(call, 2, 10))
    elif lost == "released":
        await engine.stub.ReleaseCall(release(call, 2))
    else:
        board.clock.pass_seconds(2 * 240)
        await board.expire()
    money = await board.money()

    again = failure(engine.stub.ReleaseCall(release(call, 3)))

    assert await again == ("NOT_FOUND", "CALL_ENDED", {"state": lost})
    if lost == "expired":
        settled = await engine.stub.SettleCall(settle(call, 4, 10))
        assert settled.late
        money = (5_900_000, 0, MINUTE)
    else:
        told = await failure(engine.stub.SettleCall(settle(call, 4, 10)))
        assert told == ("NOT_FOUND", "CALL_ENDED", {"state": lost})
        told = await failure(engine.stub.ExtendCall(extend(call, 5, 10)))
        assert told == ("NOT_FOUND", "CALL_ENDED", {"state": lost})
    assert await board.money() == money


async def test_reports_in_the_wrong_order_change_nothing(
    board: Switchboard, engine: Served
) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(call, 4, 100))
    money = await board.money()

    late = await engine.stub.ExtendCall(extend(call, 3, 70))
    question = await engine.stub.AuthorizeCall(call)

    assert late.superseded
    assert late.WhichOneof("outcome") is None
    assert [usage.used_duration.seconds for usage in late.usages] == [100]
    assert question.superseded
    assert question.WhichOneof("outcome") is None
    assert await board.money() == money == (5_800_000, 0, 2 * MINUTE)


async def test_one_sequence_with_another_content_is_a_conflict(
    board: Switchboard, engine: Served
) -> None:
    """B4: the same key with another amount is a conflict, and nothing changes."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 30))
    money = await board.money()

    for other in (
        engine.stub.ExtendCall(extend(call, 2, 31)),
        engine.stub.ExtendCall(extend(call, 2, 30, more=61)),
        engine.stub.SettleCall(settle(call, 2, 30)),
        engine.stub.ReleaseCall(release(call, 2)),
    ):
        assert (await failure(other))[:2] == ("ALREADY_EXISTS", "REQUEST_REUSED")
    assert await board.money() == money


async def test_a_reservation_nobody_reports_on_is_given_back_once(
    board: Switchboard, engine: Served
) -> None:
    """C1: at twice its validity a reservation is released, once, and an entry says so."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    board.clock.pass_seconds(2 * 240 - 1)
    assert await board.expire() == 0

    board.clock.pass_seconds(1)

    assert [await board.expire(), await board.expire()] == [1, 0]
    assert await board.money() == (6_000_000, 0, 0)
    assert (await board.journal()).count("expired") == 1


async def test_a_late_settlement_is_charged_as_far_as_possible(
    board: Switchboard, engine: Served
) -> None:
    """C2: the Settle after C1 is charged as far as there is money, and marked late."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    board.clock.pass_seconds(480)
    await board.expire()
    await spend(engine, 11)

    settled = await engine.stub.SettleCall(settle(call, 2, 600))

    assert settled.late
    assert settled.overrun_duration.seconds == 540
    assert [usage.used_duration.seconds for usage in settled.usages] == [300]
    assert settled.uncollected.micros == 5 * MINUTE
    assert await board.money() == (0, 0, 60 * MINUTE)


async def test_a_call_that_lapsed_goes_on_marked_late(board: Switchboard, engine: Served) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    board.clock.pass_seconds(480)
    await board.expire()

    extended = await engine.stub.ExtendCall(extend(call, 2, 480))

    assert extended.late
    assert extended.grant.granted_duration.seconds == 540
    assert await board.money() == (6_000_000 - 9 * MINUTE, MINUTE, 8 * MINUTE)


async def test_talking_longer_than_granted_is_charged_and_told(
    board: Switchboard, engine: Served
) -> None:
    """B13: 75 s are used and 60 s reserved: 15 s more by rule, visible as overrun."""
    call = authorize(seconds=60)
    await engine.stub.AuthorizeCall(call)

    settled = await engine.stub.SettleCall(settle(call, 2, 75))

    assert settled.overrun_duration.seconds == 15
    assert not settled.HasField("uncollected")
    assert await board.money() == (5_800_000, 0, 2 * MINUTE)


async def test_an_interim_debit_and_a_final_record_are_one_charge(
    board: Switchboard, engine: Served
) -> None:
    """B15: the interim debit and a report of the whole call, made from its record, charge once."""
    call = authorize(seconds=120)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 90, more=0))
    debited = (await board.money())[2]

    settled = await engine.stub.SettleCall(settle(call, 3, 90))

    assert debited == 2 * MINUTE
    assert settled.usages[0].debited.micros == 2 * MINUTE
    assert await board.money() == (5_800_000, 0, 2 * MINUTE)


async def test_an_unknown_call_is_rejected(board: Switchboard, engine: Served) -> None:
    """B8: a Settle without an Authorize is rejected where nothing else is set."""
    call = authorize()
    reports: list[Any] = [
        engine.stub.ExtendCall(extend(call, 2, 10)),
        engine.stub.SettleCall(settle(call, 2, 10)),
        engine.stub.SettleCall(settle(call, 2, 10, unknown_call=call)),
        engine.stub.ReleaseCall(release(call, 2)),
    ]

    told = [await failure(report) for report in reports]

    assert {one[:2] for one in told} == {("NOT_FOUND", "CALL_UNKNOWN")}
    assert await board.money() == (6_000_000, 0, 0)


async def test_a_call_of_another_gateway_is_unknown(board: Switchboard, engine: Served) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    call.gateway_id = "bridge-2"

    told = await failure(engine.stub.SettleCall(settle(call, 2, 10)))

    assert told[:2] == ("NOT_FOUND", "CALL_UNKNOWN")


async def test_a_tenant_that_is_not_there_is_told_to_nobody(engine: Served) -> None:
    call = authorize(tenant_id="nobody")
    for answer in (
        engine.stub.AuthorizeCall(call),
        engine.stub.ExtendCall(extend(call, 2, 10)),
        engine.stub.SettleCall(settle(call, 2, 10)),
        engine.stub.ReleaseCall(release(call, 2)),
        engine.stub.ListCalls(pb.ListCallsRequest(tenant_id="nobody")),
    ):
        assert (await failure(answer))[:2] == ("PERMISSION_DENIED", "TENANT_FORBIDDEN")


async def test_an_answered_call_is_not_released(board: Switchboard, engine: Served) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 10))
    money = await board.money()

    told = await failure(engine.stub.ReleaseCall(release(call, 3)))

    assert told[:2] == ("FAILED_PRECONDITION", "CALL_ANSWERED")
    assert await board.money() == money


async def test_a_live_call_id_of_another_gateway_has_its_own_reason(
    board: Switchboard, engine: Served
) -> None:
    """D10: a duplicate Call-ID from another gateway is refused; no reservation is shared."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    other = authorize(call_id=call.call_id, gateway_id="bridge-2")

    refused = await engine.stub.AuthorizeCall(other)
    settled = await engine.stub.SettleCall(settle(call, 2, 10))

    assert refused.refusal.reason == pb.REASON_CALL_ID_IN_USE
    assert [usage.debited.micros for usage in settled.usages] == [MINUTE]
    assert await board.money() == (5_900_000, 0, MINUTE)


async def test_a_call_whose_next_question_is_refused_names_the_purses_that_paid(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=120)
    granted = await engine.stub.AuthorizeCall(call)
    tenant = board.facts.current.directory.tenants["contoso"]
    users = {"adele": tenant.users["adele"].__class__("adele", "US", frozenset())}
    await board.change(users=users)
    call.sequence = 2

    refused = await engine.stub.AuthorizeCall(call)
    settled = await engine.stub.SettleCall(settle(call, 3, 35))

    assert refused.refusal.reason == pb.REASON_LICENCE_MISSING
    (usage,) = settled.usages
    assert usage.purse == granted.grant.purse
    assert usage.purse.capability


async def test_the_rules_are_asked_again_at_each_report(board: Switchboard, engine: Served) -> None:
    """D5: a licence is taken away in mid-call: what was used is paid, nothing more is granted."""
    call = authorize(seconds=120)
    await engine.stub.AuthorizeCall(call)
    tenant = board.facts.current.directory.tenants["contoso"]
    users = {"adele": tenant.users["adele"].__class__("adele", "US", frozenset())}
    await board.change(users=users)

    extended = await engine.stub.ExtendCall(extend(call, 2, 30))
    refused = await engine.stub.AuthorizeCall(authorize())

    assert extended.refusal.reason == refused.refusal.reason == pb.REASON_LICENCE_MISSING
    assert extended.refusal.sip_status == 403
    assert await board.money() == (5_900_000, 0, MINUTE)
    settled = await engine.stub.SettleCall(settle(call, 3, 35))
    assert [usage.used_duration.seconds for usage in settled.usages] == [35]
    assert await board.money() == (5_900_000, 0, MINUTE)


async def test_a_frozen_account_gets_no_more_time(board: Switchboard, engine: Served) -> None:
    """D5: an account is frozen in mid-call: refused at the next report, new calls at once."""
    call = authorize()
    await engine.stub.AuthorizeCall(call)
    await board.change(frozen=True)

    extended = await engine.stub.ExtendCall(extend(call, 2, 30))

    assert extended.refusal.reason == pb.REASON_ACCOUNT_FROZEN


async def test_a_call_not_answered_when_money_runs_out_ends_too(
    board: Switchboard, engine: Served
) -> None:
    """D2: a call that still rings when credit runs out gets no more than was held for it."""
    ringing = authorize(seconds=60)
    await engine.stub.AuthorizeCall(ringing)
    await spend(engine, 12)

    extended = await engine.stub.ExtendCall(extend(ringing, 2, 0, more=120))

    assert extended.grant.granted_duration.seconds == 60
    assert extended.grant.final
    last = await engine.stub.ExtendCall(extend(ringing, 3, 60, more=60))
    assert last.refusal.reason == pb.REASON_CREDITS_EXHAUSTED
    assert (await board.money())[:2] == (0, 0)


async def test_a_mere_report_is_no_question_for_more(board: Switchboard, engine: Served) -> None:
    call = authorize(seconds=60)
    await engine.stub.AuthorizeCall(call)

    told = await engine.stub.ExtendCall(extend(call, 2, 60, more=0))

    assert told.grant.granted_duration.seconds == 60
    assert not told.grant.segments
    assert await board.money() == (5_900_000, 0, MINUTE)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("tenant_id", {"tenant_id": "CONTOSO"}),
        ("gateway_id", {"gateway_id": ""}),
        ("call_id", {"call_id": "a b"}),
        ("sequence", {"sequence": 0}),
        ("used_duration", {"used_duration": Duration(seconds=-1)}),
        ("used_duration", {"used_duration": Duration(seconds=1, nanos=1)}),
        ("used_duration", {"used_duration": Duration(seconds=2_592_001)}),
        ("requested_duration", {"requested_duration": Duration(seconds=86_401)}),
    ],
)
async def test_a_wrong_field_is_named(engine: Served, field: str, changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"tenant_id": "contoso", "gateway_id": "b", "call_id": "c"}
    fields |= {"sequence": 2} | changes

    told = await failure(engine.stub.ExtendCall(pb.ExtendCallRequest(**fields)))

    assert told == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": field})


async def test_reports_at_once_charge_once(board: Switchboard, engine: Served) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)

    await asyncio.gather(
        *(engine.stub.ExtendCall(extend(call, 2 + used, used)) for used in range(20))
    )
    await engine.stub.SettleCall(settle(call, 100, 61))

    assert await board.money() == (5_800_000, 0, 2 * MINUTE)
