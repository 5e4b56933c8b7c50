"""What licences, plans and places mean for calls as a bridge asks about them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest

import number_facts
from callgate.v1 import authorization_pb2 as pb
from facts import DESTINATIONS, a_catalogue, a_tenant, a_user
from server.facts import Snapshot
from server.settings import FinalAction
from switchboards import (
    FixedFacts,
    Served,
    Switchboard,
    adele,
    authorize,
    extend,
    failure,
    settle,
    switchboard,
)

MINUTE, FEE = 100_000, 50_000
DOMESTIC, ABROAD = "+14255550123", "+390612345678"


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso without money: bob and cleo hold the same plan, bob credits as well; a fee is due."""
    bob = a_user("bob", "MCOEV", "MCOPSTN5", "MCOPSTNPP")
    cleo = a_user("cleo", "MCOEV", "MCOPSTN5")
    rates = {
        "USD": {
            prefix: number_facts.rows(
                f"USD-{prefix}", micros_per_minute=MINUTE, connection_fee_micros=FEE
            )
            for prefix in DESTINATIONS
        }
    }
    async with switchboard(url, adele(bob, cleo)) as board:
        board.facts = FixedFacts(adele(bob, cleo), catalogue=a_catalogue(rates=rates))
        await board.open(0)
        yield board


async def test_a_call_that_minutes_cover_costs_nothing(board: Switchboard, engine: Served) -> None:
    """E1: with credit 0 it is allowed, and nothing is charged, no connection fee either."""
    call = authorize(DOMESTIC, user_id="bob", seconds=120)

    granted = await engine.stub.AuthorizeCall(call)
    settled = await engine.stub.SettleCall(settle(call, 2, 95))

    assert granted.grant.granted_duration.seconds == 120
    (usage,) = settled.usages
    assert usage.purse.kind == pb.PURSE_KIND_POOL
    assert (usage.used_duration.seconds, usage.debited.micros) == (95, 0)
    assert await board.money() == (0, 0, 0)


async def test_a_domestic_plan_has_no_minutes_abroad(url: str) -> None:
    """E4: credits pay where the licence permits; without it denied, whatever the balance."""
    bob = a_user("bob", "MCOEV", "MCOPSTN5", "MCOPSTNPP")
    cleo = a_user("cleo", "MCOEV", "MCOPSTN5")
    async with switchboard(url, a_tenant(bob, cleo)) as board, board.serve() as engine:
        await board.open(1_000_000_000)
        permitted = authorize(ABROAD, user_id="bob")

        granted = await engine.stub.AuthorizeCall(permitted)
        refused = await engine.stub.AuthorizeCall(authorize(ABROAD, user_id="cleo"))
        settled = await engine.stub.SettleCall(settle(permitted, 2, 60))
        at_home = await engine.stub.AuthorizeCall(authorize(DOMESTIC, user_id="cleo"))

        assert granted.grant.purse.kind == pb.PURSE_KIND_CREDITS
        assert refused.refusal.reason == pb.REASON_PAYER_NOT_ENABLED
        assert [usage.debited.micros for usage in settled.usages] == [MINUTE]
        assert at_home.grant.purse.kind == pb.PURSE_KIND_POOL
        assert await board.money() == (1_000_000_000 - MINUTE, 0, MINUTE)


async def test_a_licence_counts_whole_from_the_day_it_is_there(url: str) -> None:
    """E14: in mid-month a second licence brings all its minutes, without proration."""
    bob = a_user("bob", "MCOEV", "MCOPSTN5")
    async with switchboard(url, a_tenant(bob)) as board, board.serve() as engine:
        await board.open(0)
        used = authorize(DOMESTIC, user_id="bob", seconds=7_200)
        await engine.stub.AuthorizeCall(used)
        await engine.stub.SettleCall(settle(used, 2, 7_200))
        board.clock.pass_seconds(60)
        assert (await engine.stub.AuthorizeCall(authorize(DOMESTIC, user_id="bob"))).HasField(
            "refusal"
        )
        both = a_tenant(bob, a_user("cleo", "MCOEV", "MCOPSTN5"))

        await board.change(users=both.users, pool_sizes=both.pool_sizes)
        rest = authorize(DOMESTIC, user_id="bob", seconds=7_201)
        granted = await engine.stub.AuthorizeCall(rest)

        seconds = granted.grant.granted_duration.seconds
        for sequence in range(2, 60):
            told = await engine.stub.ExtendCall(extend(rest, sequence, seconds, more=300))
            if told.HasField("refusal"):
                break
            seconds = told.grant.granted_duration.seconds
        assert seconds == 7_200


async def test_an_order_to_end_names_the_action_that_is_set(url: str) -> None:
    """D5: a licence is removed in mid-call: pushed, with the configured action, within a tick."""
    settings = {"final_action": FinalAction.REDIRECT, "redirect_to": "sip:no-credit@example"}
    async with switchboard(url, adele(), **settings) as board, board.serve() as engine:
        await board.open(1_000_000)
        bridge = await engine.bridge("contoso")
        call = authorize()
        await bridge.ask(call)

        await board.change(users={"adele": a_user("adele", "MCOEV")})
        (refused,) = await bridge.ask(authorize())
        order = await bridge.pushed("end", call.call_id)

        assert refused.authorize_call.refusal.reason == order.reason
        assert order.action == pb.FINAL_ACTION_REDIRECT
        assert order.redirect_to == "sip:no-credit@example"


# --- Emergencies -------------------------------------------------------------------------------

Trouble = Callable[[Switchboard], Awaitable[None]]


async def _no_credit(board: Switchboard) -> None:
    assert (await board.balance()).available_micros == 0


async def _no_licence(board: Switchboard) -> None:
    await board.change(users={"adele": a_user("adele")})


async def _frozen(board: Switchboard) -> None:
    await board.change(frozen=True)
    await board.ledger.freeze("contoso", frozen=True)


async def _too_many_calls(board: Switchboard) -> None:
    await board.change(concurrent_calls_limit=0)


async def _no_facts(board: Switchboard) -> None:
    """The facts know no tenant, no destination and no rate: the emergency numbers alone."""
    nothing = replace(
        board.facts.current.catalogue, destinations={}, rates={}, toll_free_rates={}, toll_rates={}
    )
    board.facts.current = Snapshot(nothing, FixedFacts().current.directory)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (_no_credit, "REASON_CREDITS_EXHAUSTED"),
        (_no_licence, "REASON_LICENCE_MISSING"),
        (_frozen, "REASON_ACCOUNT_FROZEN"),
        (_too_many_calls, "REASON_CONCURRENT_CALLS"),
        (_no_facts, "TENANT_FORBIDDEN"),
    ],
)
async def test_an_emergency_is_granted_free_and_told_whatever_is_wrong(
    board: Switchboard, engine: Served, trouble: Trouble, reason: str
) -> None:
    """E7: no credit, no licence, frozen, too many calls, facts away: granted, free, and logged."""
    ordinary, emergency = authorize(ABROAD), authorize("911", location="US")
    await trouble(board)

    granted = await engine.stub.AuthorizeCall(emergency)

    assert granted.grant.emergency
    assert not granted.HasField("payer")
    assert await _refusal(engine.stub.AuthorizeCall(ordinary)) == reason
    assert "reserved" not in await board.journal()
    told = _records(board, engine)
    assert [(one["call_id"], one["dial_as"]) for one in told if one["outcome"] == "emergency"] == [
        (emergency.call_id, "911")
    ]


async def _refusal(asking: Any) -> str:
    """Ask what has to be refused, or to fail; tell why it was."""
    try:
        answer = await asking
    except grpc.aio.AioRpcError:
        return (await failure(asking))[1]
    return pb.Reason.Name(answer.refusal.reason)


def _records(board: Switchboard, engine: Served) -> list[dict[str, Any]]:
    records = engine.verbs.door.records
    records.start()
    records.close()
    return [json.loads(line) for line in (board.folder / "records").read_text().splitlines()]
