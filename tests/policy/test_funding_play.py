"""Settings of auto-recharge played against spending that is known."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from policy.funding_advice import Circumstances, Spent, advise
from policy.funding_play import Played, PlayedLot, Recharge, Stage, play

USD = 1_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
NEVER_MS = 10_000 * DAY_MS


def a_stage(spending: list[tuple[int, int]], days: int = 2, **more: Any) -> Stage:
    """Build a stage that begins at 0 with 100, of lots that last and months of thirty days."""
    facts: dict[str, Any] = {
        "days": [day * DAY_MS for day in range(days + 1)],
        "opening": [PlayedLot(0, 100 * USD, NEVER_MS)],
        "spending": spending,
        "deposits": [],
        "lot_expires": lambda bought_ms: bought_ms + NEVER_MS,
        "month_of": lambda ms: (str(ms // (30 * DAY_MS)), (ms // (30 * DAY_MS) + 1) * 30 * DAY_MS),
    }
    return Stage(**(facts | more))


SETTINGS = Recharge(20 * USD, 50 * USD, arrival_ms=10 * MINUTE_MS)


def test_a_balance_that_lasts_is_not_recharged() -> None:
    played = play(a_stage([(HOUR_MS, 30 * USD)]), SETTINGS)

    assert (played.opening_micros, played.lowest_micros) == (100 * USD, 70 * USD)
    assert (played.recharges, played.at_zero_ms) == (0, 0)
    assert [day.closing_micros for day in played.days] == [70 * USD] * 2


def test_one_recharge_begins_strictly_below_the_trigger_and_arrives_later() -> None:
    at = play(a_stage([(HOUR_MS, 80 * USD)]), SETTINGS)
    below = play(a_stage([(HOUR_MS, 81 * USD), (HOUR_MS + MINUTE_MS, 9 * USD)]), SETTINGS)

    assert at.recharges == 0
    assert (below.recharges, below.recharged_micros) == (1, 50 * USD)
    assert (below.lowest_micros, below.lowest_ms) == (10 * USD, HOUR_MS + MINUTE_MS)
    assert [
        (day.lowest_micros, day.closing_micros, day.recharged_micros) for day in below.days
    ] == [
        (10 * USD, 60 * USD, 50 * USD),
        (60 * USD, 60 * USD, 0),
    ]


def test_a_balance_below_zero_tells_what_would_have_been_refused_and_for_how_long() -> None:
    """It is gone after an hour and comes back ten minutes later, by whole amounts."""
    played = play(a_stage([(HOUR_MS, 130 * USD)]), SETTINGS)
    off = play(a_stage([(HOUR_MS, 130 * USD)]), replace(SETTINGS, enabled=False))

    assert (played.lowest_micros, played.at_zero_ms) == (-30 * USD, 10 * MINUTE_MS)
    assert (played.recharges, played.days[0].closing_micros) == (1, 20 * USD)
    assert (off.recharges, off.at_zero_ms) == (0, 47 * HOUR_MS)


def test_what_is_left_of_a_lot_is_forfeited_the_first_to_expire_is_spent_first() -> None:
    opening = [PlayedLot(0, 60 * USD, 2 * DAY_MS), PlayedLot(0, 40 * USD, DAY_MS)]
    played = play(a_stage([(HOUR_MS, 30 * USD)], days=3, opening=opening), SETTINGS)

    assert played.forfeited_micros == 10 * USD + 60 * USD
    assert [day.closing_micros for day in played.days] == [70 * USD, 60 * USD, 50 * USD]


def test_what_a_correction_gives_back_expires_with_what_is_spent_next() -> None:
    opening = [PlayedLot(0, 60 * USD, DAY_MS)]
    spending = [(HOUR_MS, 30 * USD), (2 * HOUR_MS, -10 * USD)]

    played = play(a_stage(spending, opening=opening), replace(SETTINGS, enabled=False))

    assert (played.days[0].closing_micros, played.forfeited_micros) == (40 * USD, 40 * USD)
    assert played.days[1].closing_micros == 0


def test_what_came_in_by_hand_comes_in_whatever_the_settings() -> None:
    deposits = [PlayedLot(2 * HOUR_MS, 25 * USD, NEVER_MS)]

    played = play(a_stage([(HOUR_MS, 30 * USD)], deposits=deposits), SETTINGS)

    assert played.days[-1].closing_micros == 95 * USD


def test_a_balance_below_the_trigger_begins_with_it() -> None:
    opening = [PlayedLot(0, 5 * USD, NEVER_MS)]

    on = play(a_stage([], opening=opening), SETTINGS)
    off = play(a_stage([], opening=opening), replace(SETTINGS, enabled=False))

    assert (on.opening_micros, off.opening_micros) == (20 * USD, 5 * USD)


def test_the_limits_of_recharges_hold_in_a_play_too() -> None:
    spending = [(hour * HOUR_MS, 45 * USD) for hour in range(1, 9)]

    free = play(a_stage(spending), SETTINGS)
    month = play(a_stage(spending), replace(SETTINGS, monthly_limit_micros=100 * USD))
    burst = play(a_stage(spending), replace(SETTINGS, burst_most=1, burst_within_ms=3 * HOUR_MS))
    most = play(a_stage(spending), replace(SETTINGS, max_balance_micros=55 * USD))

    assert (free.recharges, free.refused) == (6, 0)
    assert (month.recharged_micros, month.refused) == (100 * USD, 1)
    assert burst.recharges < free.recharges
    assert burst.refused > 0
    assert (most.recharges, most.refused) == (1, 1)


def spend_like(seed: int) -> tuple[Spent, list[tuple[int, int]]]:
    """Spend at random, in working hours mostly, with rushes, for 60 days."""
    chance = random.Random(seed)
    growth = chance.choice([0, 0, 1, 3])
    hours = [0] * (60 * 24)
    spending = []
    for step in range(60 * 288):
        day, hour = step // 288, step % 288 // 12
        weight = 10 if 8 <= hour < 18 and day % 7 < 5 else 1
        if chance.random() < 0.05:
            weight *= 20
        micros = chance.randrange(USD) * weight * (100 + growth * day) // 400
        hours[step // 12] += micros
        spending.append((step * 5 * MINUTE_MS, micros))
    days = tuple(sum(hours[each * 24 : each * 24 + 24]) for each in range(60))
    return Spent(days, tuple(hours), 0), spending


def played_with(seed: int, arrival_ms: int) -> tuple[Played, Played]:
    spent, spending = spend_like(seed)
    around = Circumstances(0, 300, arrival_ms, 20 * USD, 365 * DAY_MS, 3, HOUR_MS)
    advice = advise(spent, around)
    stage = a_stage(spending, days=60)
    advised = Recharge(advice.trigger_micros, advice.amount_micros, arrival_ms=arrival_ms)
    present = replace(advised, trigger_micros=20 * USD, amount_micros=20 * USD)
    return play(stage, advised), play(stage, present)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("minutes", [1, 90])
def test_advised_settings_never_drop_below_zero_where_the_small_start_does(
    seed: int, minutes: int
) -> None:
    advised, present = played_with(seed, minutes * MINUTE_MS)

    assert advised.lowest_micros > 0
    assert (advised.at_zero_ms, advised.refused) == (0, 0)
    assert present.lowest_micros < 0
    assert present.recharges > advised.recharges
