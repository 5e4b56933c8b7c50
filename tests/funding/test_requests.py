"""Requests for money to move: once for an id, in the end, and back to where it came from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keepers import drained
from server.funding.applying import Kind
from server.funding.errors import FundingBusy, FundingRefused, FundingReused, Why
from server.funding.refunds import DEBIT, Reference, refund_parts
from server.ledger import TopUp
from tills import DAY_MS, TENANT, UNIT, Till, a_top_up


def a_debit(request_id: str, micros: int) -> Any:
    body = {"debit_id": f"debit:{request_id}", "micros": micros, "overdraft_micros": 0}
    return a_top_up(request_id, micros, kind=Kind.DEBIT, settle=lambda _c, _row: body)


def a_refund(request_id: str, of: str, micros: int | None) -> Any:
    reference = Reference(DEBIT, of)

    def settle(connection: Any, _row: Any) -> dict[str, Any]:
        split = refund_parts(connection, TENANT, reference, micros=micros)
        parts = [[f"refund:{request_id}:{n}", lot, part] for n, (lot, part) in enumerate(split)]
        return {"parts": parts}

    content = {"of": reference.text, "micros": str(micros)}
    return a_top_up(
        request_id, 1, kind=Kind.REFUND, settle=settle, content=content, reference=reference.text
    )


async def fund_two_lots(till: Till) -> None:
    """Two lots of 10, the first one due in a day."""
    now_ms = till.house.clock.now_ms()
    for lot_id, days in (("early", 1), ("late", 300)):
        lot = TopUp(TENANT, lot_id, 10 * UNIT, now_ms + days * DAY_MS)
        await till.house.ledger.top_up(lot)
    await drained(till.house)


async def test_one_request_asked_many_times_at_once_moves_once(till: Till) -> None:
    await fund_two_lots(till)

    async def ask() -> str:
        try:
            await till.funding_requests.ask(a_debit("d-1", 3 * UNIT))
        except FundingBusy:
            return "busy"
        return "done"

    answers = await asyncio.gather(*(ask() for _ in range(12)))
    last = await ask()

    assert answers.count("done") >= 1
    assert set(answers) <= {"done", "busy"}
    assert last == "done"
    assert await till.balance() == 17 * UNIT


async def test_a_refused_request_stays_refused_after_the_money_came(till: Till) -> None:
    """B3: a stored failure is told again as a failure."""
    with pytest.raises(FundingRefused) as first:
        await till.funding_requests.ask(a_debit("d-1", 5 * UNIT))
    await fund_two_lots(till)

    with pytest.raises(FundingRefused) as again:
        await till.funding_requests.ask(a_debit("d-1", 5 * UNIT))

    assert first.value.why is again.value.why is Why.FUNDS_MISSING
    assert again.value.metadata == {"shortfall_micros": str(5 * UNIT)}
    assert await till.balance() == 20 * UNIT


async def test_an_id_with_another_content_moves_nothing(till: Till) -> None:
    """B4: a conflict, and nothing changes."""
    await fund_two_lots(till)
    await till.funding_requests.ask(a_debit("d-1", UNIT))

    with pytest.raises(FundingReused):
        await till.funding_requests.ask(a_debit("d-1", 2 * UNIT))

    assert await till.balance() == 19 * UNIT


async def test_refunds_go_back_to_the_lots_that_paid_the_last_one_first(till: Till) -> None:
    await fund_two_lots(till)
    await till.funding_requests.ask(a_debit("d-1", 14 * UNIT))
    await drained(till.house)

    first = await till.funding_requests.ask(a_refund("r-1", "d-1", 3 * UNIT))
    second = await till.funding_requests.ask(a_refund("r-2", "d-1", None))
    with pytest.raises(FundingRefused) as third:
        await till.funding_requests.ask(a_refund("r-3", "d-1", 1))

    assert [part[1:] for part in first.body["parts"]] == [["late", 3 * UNIT]]
    assert [part[1:] for part in second.body["parts"]] == [["late", UNIT], ["early", 10 * UNIT]]
    assert third.value.why is Why.REFUND_TOO_LARGE
    assert await till.balance() == 20 * UNIT


async def test_a_refund_to_a_lot_that_is_over_is_good_for_thirty_days(till: Till) -> None:
    await fund_two_lots(till)
    await till.funding_requests.ask(a_debit("d-1", 2 * UNIT))
    await drained(till.house)
    till.house.clock.pass_seconds(2 * DAY_MS // 1_000)

    await till.funding_requests.ask(a_refund("r-1", "d-1", None))
    at_once = await till.balance()
    till.house.clock.pass_seconds(31 * DAY_MS // 1_000)

    assert at_once == 12 * UNIT
    assert await till.balance() == 10 * UNIT


async def test_lots_expire_although_nobody_calls(till: Till) -> None:
    """The keeper asks; the archive knows it then, and the next round finds nothing to do."""
    await fund_two_lots(till)
    till.house.clock.pass_seconds(2 * DAY_MS // 1_000)

    await till.finishing.expire_lots()
    await drained(till.house)

    image = await till.house.image()
    assert image.account.expired_micros == 10 * UNIT
    assert image.available_micros == 10 * UNIT
