"""Facts that change while a call runs: what may pay is as of today, what it costs as it began."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration

import number_facts
from callgate.v1 import authorization_pb2 as pb
from facts import DESTINATIONS, a_catalogue, a_tenant, a_user
from snapshots import copy_of, go_back_to
from switchboards import (
    FixedFacts,
    Served,
    Switchboard,
    authorize,
    extend,
    failure,
    settle,
    switchboard,
)

MINUTE = 100_000
AT_HOME = "+14255550123"
PLAN_SECONDS = 7_200


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso with 6.00: bob has a plan of 120 minutes at home, and credits."""
    async with switchboard(url, a_tenant(a_user("bob", "MCOEV", "MCOPSTN5", "MCOPSTNPP"))) as board:
        await board.open(6_000_000)
        yield board


async def relicense(board: Switchboard, *licences: str) -> None:
    tenant = a_tenant(a_user("bob", "MCOEV", *licences))
    await board.change(users=tenant.users, pool_sizes=tenant.pool_sizes)


def price(board: Switchboard, micros_per_minute: int) -> None:
    rows = {
        prefix: number_facts.rows(f"USD-{prefix}", micros_per_minute=micros_per_minute)
        for prefix in DESTINATIONS
    }
    tenants = board.facts.current.directory.tenants.values()
    board.facts = FixedFacts(*tenants, catalogue=a_catalogue(rates={"USD": rows}))


async def test_a_plan_taken_away_in_mid_call_is_not_drawn_on_further(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(AT_HOME, user_id="bob", seconds=300)
    granted = await engine.stub.AuthorizeCall(call)
    await relicense(board, "MCOPSTN_PAYG_2", "MCOPSTNPP")

    extended = await engine.stub.ExtendCall(extend(call, 2, 290, more=60))
    settled = await engine.stub.SettleCall(settle(call, 3, 330))

    assert granted.grant.purse.kind == pb.PURSE_KIND_POOL
    assert extended.grant.purse.kind == pb.PURSE_KIND_CREDITS
    usages = [(one.purse.kind, one.used_duration.seconds) for one in settled.usages]
    assert usages == [(pb.PURSE_KIND_CREDITS, 40), (pb.PURSE_KIND_POOL, 290)]
    assert {one.purse.pool_id for one in settled.usages} != {""}
    assert await board.money() == (6_000_000 - MINUTE, 0, MINUTE)


async def test_credits_taken_away_in_mid_call_pay_no_more(
    board: Switchboard, engine: Served
) -> None:
    used = authorize(AT_HOME, user_id="bob", seconds=PLAN_SECONDS)
    for sequence in range(1, 24):
        used.sequence = sequence
        ask = engine.stub.ExtendCall(extend(used, sequence, (sequence - 1) * 300, more=300))
        await (engine.stub.AuthorizeCall(used) if sequence == 1 else ask)
    await relicense(board, "MCOPSTN5")

    refused = None
    for sequence in range(24, 40):
        told = await engine.stub.ExtendCall(extend(used, sequence, (sequence - 1) * 300, more=300))
        if told.HasField("refusal"):
            refused = told.refusal.reason
            break

    assert refused == pb.REASON_PAYER_NOT_ENABLED
    assert (await board.money())[2] == 0


@pytest.mark.parametrize("announced", [False, True])
async def test_a_call_asked_anew_after_the_rate_changed_is_paid_as_it_began(
    board: Switchboard, engine: Served, announced: bool
) -> None:
    call = authorize(user_id="bob", seconds=60)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 30, more=0))
    price(board, 2 * MINUTE)
    async with board.serve() as later:
        anew = authorize(user_id="bob", call_id=call.call_id, sequence=3, seconds=60)
        if announced:
            anew.running_call.used_duration.CopyFrom(Duration(seconds=30))

        granted = await later.stub.AuthorizeCall(anew)
        extended = await later.stub.ExtendCall(extend(call, 4, 70))
        settled = await later.stub.SettleCall(settle(call, 5, 90))

    told = [one.grant.price.per_minute.micros for one in (granted, extended)]
    assert told == [MINUTE, MINUTE]
    (usage,) = settled.usages
    assert (usage.used_duration.seconds, usage.debited.micros) == (90, 2 * MINUTE)
    assert await board.money() == (6_000_000 - 2 * MINUTE, 0, 2 * MINUTE)


async def test_a_call_asked_anew_after_it_lapsed_is_charged_once(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(user_id="bob", seconds=120)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 120, more=60))
    board.clock.pass_seconds(3_600)
    await board.expire()

    await engine.stub.AuthorizeCall(authorize(user_id="bob", call_id=call.call_id, sequence=3))
    settled = await engine.stub.SettleCall(settle(call, 4, 300))

    assert [one.debited.micros for one in settled.usages] == [5 * MINUTE]
    assert await board.money() == (6_000_000 - 5 * MINUTE, 0, 5 * MINUTE)


async def test_a_store_that_lost_the_newest_facts_is_told_them_again(
    board: Switchboard, engine: Served
) -> None:
    """It fell back to where the account was described by older ones."""
    opening = engine.verbs.authorizer.opening
    older = await copy_of(board.store)
    await board.change(frozen=True)
    await opening.open(board.facts.current.directory.tenants["contoso"])
    await go_back_to(board.store, older)

    answers = [await engine.stub.AuthorizeCall(authorize(user_id="bob")) for _ in range(2)]

    assert {answer.refusal.reason for answer in answers} == {pb.REASON_ACCOUNT_FROZEN}


async def test_newer_facts_that_others_told_are_not_replaced_by_older_ones(
    board: Switchboard, engine: Served
) -> None:
    tenant = board.facts.current.directory.tenants["contoso"]
    await engine.verbs.authorizer.opening.open(tenant)
    await board.change(frozen=True)
    newest = await board.balance()
    board.facts.current.directory.put(tenant)

    code, reason, _ = await failure(engine.stub.AuthorizeCall(authorize(user_id="bob")))

    assert (code, reason) == ("UNAVAILABLE", "FACTS_BEHIND")
    assert await board.balance() == newest
