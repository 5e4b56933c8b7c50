"""Refunds of calls: what was invoiced is invoiced no longer, what counted for a limit is free."""

from __future__ import annotations

from typing import Any

import pytest

from keepers import PARTITION, SMALL_MS, drained
from ledgers import a_rate, credits_
from policy.reasons import Reason
from server.archive.keeper.doctor import Doctor
from server.funding.applying import Kind
from server.funding.refunds import CALL, Reference, paid_how, refund_parts
from server.funding.requests import Asked
from server.ledger.partition_audit import Auditor
from snapshots import copy_of, go_back_to
from tills import TENANT, UNIT, Till, a_top_up

A_UNIT_A_MINUTE = a_rate(UNIT, 0, 60, 60)


def a_refund(request_id: str, decision_id: str, micros: int | None) -> Asked:
    reference = Reference(CALL, decision_id)

    def settle(connection: Any, _row: Any) -> dict[str, Any]:
        split = refund_parts(connection, TENANT, reference, micros=micros)
        parts = [[f"refund:{request_id}:{n}", lot, part] for n, (lot, part) in enumerate(split)]
        return {**paid_how(connection, TENANT, reference), "parts": parts}

    content = {"of": reference.text, "micros": str(micros)}
    return a_top_up(
        request_id, 1, kind=Kind.REFUND, settle=settle, content=content, reference=reference.text
    )


async def require_health(till: Till) -> None:
    """Ledger and archive agree, also after the partition was filled anew."""
    house = till.house
    await drained(house)
    before = await house.balance()
    doctor = Doctor(Auditor(house.store), house.parts)
    assert await doctor.examine() == []
    await house.rebuild.rebuild(PARTITION, (await house.archive.positions())[PARTITION])
    assert await doctor.examine() == []
    assert await house.balance() == before


@pytest.mark.parametrize("funded_since", [False, True])
async def test_what_was_invoiced_is_invoiced_no_longer_and_becomes_no_credit(
    till: Till, funded_since: bool
) -> None:
    purse = credits_(A_UNIT_A_MINUTE, post_paid=True)
    answer = await till.house.reserve("call-1", 1, purse, want=180)
    await till.house.settle("call-1", 2, 180)
    await drained(till.house)
    if funded_since:
        await till.fund(50 * UNIT)

    await till.funding_requests.ask(a_refund("r-1", answer.decision_id, 2 * UNIT))
    await require_health(till)

    balance = await till.house.balance()
    assert balance.post_paid_micros == UNIT
    assert balance.balance_micros == (50 * UNIT if funded_since else None)


async def test_what_is_given_back_of_a_call_is_free_for_its_user_to_spend_again(
    till: Till,
) -> None:
    await till.fund(50 * UNIT)
    purse = credits_(A_UNIT_A_MINUTE, limit=3 * UNIT)
    answer = await till.house.reserve("call-1", 1, purse, want=180)
    await till.house.settle("call-1", 2, 180)
    await drained(till.house)
    at_the_limit = await till.house.reserve("call-2", 1, purse, want=60)

    await till.funding_requests.ask(a_refund("r-1", answer.decision_id, 2 * UNIT))
    await require_health(till)
    # After a partition was filled anew grants are small for a while.
    till.house.clock.pass_seconds(SMALL_MS // 1_000)
    again = await till.house.reserve("call-3", 1, purse, want=180)

    assert at_the_limit.reason is Reason.SPEND_LIMIT_REACHED
    assert again.granted_seconds == 120
    assert await till.balance() == 49 * UNIT


async def test_no_more_of_a_call_is_given_back_than_it_cost_where_a_store_told_of_it_twice(
    till: Till,
) -> None:
    house, purse = till.house, credits_(A_UNIT_A_MINUTE)
    await till.fund(50 * UNIT)
    answer = await house.reserve("call-1", 1, purse, want=300)
    keeper = await drained(house)
    old = await copy_of(house.store)
    await house.reserve("call-1", 2, purse, want=180, used=120)
    await keeper.drain()
    await go_back_to(house.store, old)
    await house.settle("call-1", 3, 180)
    await keeper.drain()
    assert (await house.balance()).debited_micros == 3 * UNIT

    await till.funding_requests.ask(a_refund("r-1", answer.decision_id, None))
    await require_health(till)

    assert (await house.balance()).refunded_micros == 3 * UNIT
