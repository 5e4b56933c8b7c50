"""Amounts that an account cannot hold: refused for good, and in nobody's way."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from keepers import PARTITION, drained
from server.archive.keeper.doctor import Doctor
from server.funding.charge_rows import RECHARGE, ChargeRow, ChargeState, add_charge
from server.funding.errors import FundingRefused, Why
from server.ledger import TopUp
from server.ledger.partition_audit import Auditor
from tills import DAY_MS, UNIT, Till, a_top_up

MOST = 2**53 - 1


async def test_a_top_up_that_the_account_cannot_hold_is_refused_and_keeps_no_recharge_back(
    till: Till,
) -> None:
    await till.set_up()
    await till.fund(5 * UNIT)

    with pytest.raises(FundingRefused) as refused:
        await till.funding_requests.ask(a_top_up("t-1", MOST))
    for _ in range(3):
        await till.work()

    assert refused.value.why is Why.MAX_BALANCE
    assert await till.balance() == 25 * UNIT


async def test_a_partition_of_large_sums_is_filled_anew_as_it_was(till: Till) -> None:
    house = till.house
    for number in range(3):
        await till.fund(MOST - UNIT, f"lot-{number}")
        await till.spend(MOST - UNIT - number, f"debit-{number}")
    before = await house.balance()
    doctor = Doctor(Auditor(house.store), house.parts)

    found = await doctor.examine()
    await house.rebuild.rebuild(PARTITION, (await house.archive.positions())[PARTITION])

    assert found == await doctor.examine() == []
    assert before.funded_micros == 3 * (MOST - UNIT)
    assert await house.balance() == before


async def test_charges_that_cannot_be_credited_keep_no_other_one_waiting(till: Till) -> None:
    """More of them than a keeper takes on at once, all older."""
    await till.set_up()
    await till.house.open(balance=None, tenant="fabrikam")
    now_ms = till.house.clock.now_ms()
    full = TopUp("fabrikam", "lot-1", MOST, now_ms + DAY_MS)
    await till.house.ledger.top_up(full)
    stuck = ChargeRow(
        charge_id="",
        tenant_id="fabrikam",
        purpose=RECHARGE,
        state=ChargeState.CHARGED,
        micros=UNIT,
        currency="USD",
        payment_customer="pays",
        expire_ms=now_ms + DAY_MS,
        create_ms=now_ms - 1,
    )
    for number in range(20):
        charge = dataclasses.replace(stuck, charge_id=f"stuck-{number}")
        await till.house.archive.database.write(partial(add_charge, charge=charge))
    await till.fund(5 * UNIT)

    for _ in range(4):
        await till.recharging.work()
    await drained(till.house)

    assert await till.balance() == 25 * UNIT
