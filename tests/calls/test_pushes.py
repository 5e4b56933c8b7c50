"""What a bridge is told without asking: debits, estimates, warnings, deadlines, orders to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from callgate.v1 import authorization_pb2 as pb
from facts import a_user
from ledgers import a_decision_id
from server.ledger import TopUp
from switchboards import (
    SECONDS,
    Bridge,
    Served,
    Switchboard,
    adele,
    authorize,
    extend,
    settle,
    switchboard,
)

MINUTE = 100_000


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso with 1.00: ten minutes of adele's."""
    async with switchboard(url, adele()) as board:
        await board.open(1_000_000)
        yield board


@pytest.fixture
async def bridge(engine: Served) -> Bridge:
    """Return a stream that is known to follow its tenant."""
    bridge = await engine.bridge("contoso")
    call = authorize()
    await bridge.ask(call)
    await bridge.ask(settle(call, 2, 1))
    await bridge.pushed("debit", call.call_id)
    return bridge


async def test_a_debit_is_pushed_with_all_that_was_debited(
    board: Switchboard, bridge: Bridge
) -> None:
    call = authorize(seconds=120)
    await bridge.ask(call)

    await bridge.ask(extend(call, 2, 30))
    first = await bridge.pushed("debit", call.call_id)
    await bridge.ask(settle(call, 3, 90))
    last = await bridge.pushed("debit", call.call_id)

    assert [usage.debited.micros for usage in first.usages] == [MINUTE]
    assert [usage.used_duration.seconds for usage in last.usages] == [90]
    assert [usage.debited.micros for usage in last.usages] == [2 * MINUTE]
    assert last.available.micros == (await board.money())[0]
    assert last.cursor


async def test_a_report_by_another_way_is_pushed_too(engine: Served, bridge: Bridge) -> None:
    call = authorize()
    await engine.stub.AuthorizeCall(call)

    await engine.stub.SettleCall(settle(call, 2, 10))

    assert (await bridge.pushed("debit", call.call_id)).usages[0].used_duration.seconds == 10


async def test_calls_of_another_gateway_are_nobody_elses(engine: Served, bridge: Bridge) -> None:
    other = authorize(gateway_id="bridge-2")
    await engine.stub.AuthorizeCall(other)

    await engine.stub.SettleCall(settle(other, 2, 10))

    await bridge.quiet("debit", seconds=0.5)


async def test_a_report_at_another_server_reaches_the_bridge(
    board: Switchboard, bridge: Bridge
) -> None:
    call = authorize()
    async with board.serve() as elsewhere:
        await elsewhere.stub.AuthorizeCall(call)
        await elsewhere.stub.SettleCall(settle(call, 2, 10))

        assert (await bridge.pushed("debit", call.call_id)).usages


async def test_what_remains_shrinks_when_another_call_begins_and_grows_when_it_ends(
    bridge: Bridge,
) -> None:
    """D6: a second call starts: the first one's remaining time is told, shorter; then longer."""
    first, second = authorize(seconds=60), authorize(seconds=300)
    await bridge.ask(first)
    await bridge.quiet("estimate")
    await bridge.ask(second)

    shorter = await bridge.pushed("estimate", first.call_id)
    await bridge.ask(settle(second, 2, 0))
    longer = await bridge.pushed("estimate", first.call_id)

    # Of nine minutes one is granted; the second call holds two of the eight that are left.
    assert shorter.remaining_duration.seconds < 480
    assert longer.remaining_duration.seconds == 480


async def test_what_another_call_takes_in_the_moment_of_a_grant_is_told(bridge: Bridge) -> None:
    """Neither call is told of it by its own answer: what was left then was more."""
    first, second = authorize(seconds=60), authorize(seconds=300)

    await bridge.ask(first, second)

    shorter = await bridge.pushed("estimate", first.call_id)
    assert shorter.remaining_duration.seconds < 480


async def test_an_estimate_that_hardly_moved_is_not_sent(
    board: Switchboard, engine: Served, bridge: Bridge
) -> None:
    await top_up(board, 9_000_000)
    first, second = authorize(seconds=60), authorize(seconds=60)
    await bridge.ask(first)
    await bridge.quiet("estimate")

    await bridge.ask(second)

    await bridge.quiet("estimate")


async def test_the_end_of_money_is_told_before_and_ordered_at_the_end(
    board: Switchboard, bridge: Bridge
) -> None:
    call = authorize(seconds=300)
    await bridge.ask(call)
    (granted,) = await bridge.ask(extend(call, 2, 240, more=300))
    assert granted.extend_call.grant.granted_duration.seconds == 540
    assert granted.extend_call.grant.final

    warning = await bridge.pushed("warning", call.call_id)
    await bridge.quiet("end", seconds=0.5)
    board.clock.pass_seconds(300)
    order = await bridge.pushed("end", call.call_id)

    assert warning.end_offset.seconds == 540
    assert order.reason == pb.REASON_CREDITS_EXHAUSTED
    assert order.action == pb.FINAL_ACTION_END


async def test_a_top_up_after_the_last_grant_moves_the_deadline(
    board: Switchboard, bridge: Bridge
) -> None:
    call = authorize(seconds=300)
    await bridge.ask(call)
    await bridge.ask(extend(call, 2, 240, more=300))
    await bridge.pushed("warning", call.call_id)

    await top_up(board, 1_000_000)
    deadline = await bridge.pushed("deadline", call.call_id)
    (more,) = await bridge.ask(extend(call, 3, 540, more=60))

    assert not deadline.final
    assert (deadline.granted_duration.seconds, deadline.sequence) == (540, 2)
    assert deadline.report_by_time.ToMilliseconds() == board.clock.now_ms() + 330_000
    assert more.extend_call.grant.granted_duration.seconds == 600


async def test_a_lost_licence_ends_running_calls(board: Switchboard, bridge: Bridge) -> None:
    """D5: a licence is removed in mid-call: an order within one tick; new calls denied at once."""
    call = authorize()
    await bridge.ask(call)

    await board.change(users={"adele": a_user("adele", "MCOEV")})

    order = await bridge.pushed("end", call.call_id)
    (refused,) = await bridge.ask(authorize())
    assert order.reason == refused.authorize_call.refusal.reason


async def test_a_frozen_tenant_ends_running_calls_of_its_own_only(url: str, transport: str) -> None:
    """D5: an account is frozen in mid-call: its calls are ordered to end, others go on."""
    other = replace(adele(), tenant_id="fabrikam")
    async with switchboard(url, adele(), other) as board:
        for tenant_id in ("contoso", "fabrikam"):
            await board.open(1_000_000, tenant_id)
        async with board.serve() as engine:
            bridge = await engine.bridge("contoso", "fabrikam")
            ours, theirs = authorize(), authorize(tenant_id="fabrikam")
            await bridge.ask(ours, theirs)
            announcements = [
                pb.CallAnnouncement(tenant_id=call.tenant_id, call_id=call.call_id)
                for call in (ours, theirs)
            ]
            await bridge.ask(*announcements)
            await board.change(frozen=True)

            order = await bridge.pushed("end", ours.call_id)

            assert order.reason == pb.REASON_ACCOUNT_FROZEN
            await bridge.quiet("end", seconds=0.5)


async def test_an_announced_call_is_told_of_as_others_are(
    board: Switchboard, engine: Served, bridge: Bridge
) -> None:
    call = authorize()
    await bridge.ask(call)
    again = await engine.bridge("contoso")
    await again.ask(pb.CallAnnouncement(tenant_id="contoso", call_id=call.call_id))
    await again.quiet("end", seconds=0.3)

    await board.change(frozen=True)

    assert (await again.pushed("end", call.call_id)).reason == pb.REASON_ACCOUNT_FROZEN


async def test_an_account_that_opens_after_the_stream_is_followed_as_others_are(
    url: str, transport: str
) -> None:
    late = replace(adele(), tenant_id="fabrikam")
    async with switchboard(url, adele(), late) as board:
        await board.open(1_000_000)
        async with board.serve() as engine:
            bridge = await engine.bridge("fabrikam", "contoso")
            ours = authorize()
            await bridge.ask(ours, settle(ours, 2, 1))
            await bridge.pushed("debit", ours.call_id)

            await board.open(100_000_000, "fabrikam")
            told = False
            async with asyncio.timeout(SECONDS):
                while not told:
                    theirs = authorize(tenant_id="fabrikam")
                    await bridge.ask(theirs)
                    await bridge.ask(settle(theirs, 2, 10))
                    told = bridge.has("debit", tenant_id="fabrikam")

            assert told


async def test_facts_that_object_to_nothing_end_nothing(board: Switchboard, bridge: Bridge) -> None:
    await bridge.ask(authorize())

    await board.change(concurrent_calls_limit=100)

    await bridge.quiet("end", seconds=0.7)


async def top_up(board: Switchboard, micros: int) -> None:
    expire_ms = board.clock.now_ms() + 365 * 24 * 3_600_000
    lot_id = a_decision_id()
    await board.ledger.top_up(TopUp("contoso", lot_id=lot_id, micros=micros, expire_ms=expire_ms))
