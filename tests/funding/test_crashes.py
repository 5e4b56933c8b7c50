"""Crashes between any two steps: nothing is charged twice, nothing is forgotten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from keepers import Gate, drained
from server.funding.funding_rows import Candidate
from server.funding.providers.simulated import Rehearsal
from server.funding.request_rows import not_archived
from till_victims import Victim
from tills import UNIT, Till

# Longer than any claim on what somebody was working on when it died.
FORGOTTEN_SECONDS = 60
MOST_STEPS = 60


@pytest.mark.parametrize("fate", [Victim.die, Victim.wake], ids=["dies", "sleeps"])
async def test_a_recharge_that_stops_at_any_step_is_finished_once(
    till: Till, doomed: Callable[[Gate], Till], fate: Callable[[Victim], Awaitable[None]]
) -> None:
    """F9: one charge a crossing, wherever its keeper died, or slept while another went on."""
    assert isinstance(till.payments, Rehearsal)
    await till.set_up()
    await till.fund(10 * UNIT)
    for step in range(1, MOST_STEPS):
        await till.spend(await till.balance() - UNIT, f"down {step}")
        gate = Gate(step)

        victim = Victim(doomed(gate).recharging.work(), gate)
        stopped = await victim.reached()
        till.house.clock.pass_seconds(FORGOTTEN_SECONDS * 60)
        for _ in range(3):
            await till.work()
        await fate(victim)
        await till.work()

        charges = await till.charges()
        assert [charge.crossing for charge in charges] == list(range(1, step + 1))
        assert await till.balance() == 21 * UNIT
        assert sum(charge.micros for charge in till.payments.taken.values()) == step * 20 * UNIT
        assert len(await till.notices()) == step
        if not stopped:
            break
    assert step > 8


async def test_a_top_up_that_dies_at_any_step_comes_in_once(
    till: Till, doomed: Callable[[Gate], Till]
) -> None:
    """What was accepted is finished by the keeper; what was not never happened."""
    for step in range(1, MOST_STEPS):
        gate = Gate(step)

        victim = Victim(doomed(gate).top_up(f"t-{step}", 5 * UNIT), gate)
        stopped = await victim.reached()
        await victim.die()
        till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
        await till.work()
        answer = await till.top_up(f"t-{step}", 5 * UNIT)

        assert answer.body["micros"] == 5 * UNIT
        assert await till.balance() == step * 5 * UNIT
        if not stopped:
            break
    assert step > 4


async def test_what_a_store_lost_of_money_that_came_in_is_put_in_again(till: Till) -> None:
    """A failover lost the top-up before it was archived; the archive had its request."""
    await drained(till.house)
    await till.top_up("t-1", 5 * UNIT)
    await till.set_up(trigger_micros=10 * UNIT)
    await till.recharging.consider(Candidate("contoso", (await till.funding()).version))
    (charge,) = await till.charges()
    await till.charging.advance(charge.charge_id)
    await till.house.store.every_node("FLUSHALL")
    await drained(till.house)
    lost = await till.balance()

    till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
    await till.finishing.work()
    await drained(till.house)
    till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
    await till.finishing.work()

    assert lost == 0
    assert await till.balance() == 25 * UNIT
    now_ms = till.house.clock.now_ms()
    left = await till.house.archive.database.read(
        lambda c: not_archived(c, now_ms, now_ms=now_ms, limit=10)
    )
    assert left == []
