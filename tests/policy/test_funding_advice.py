"""Advice for three tenants, each beside the calculation of it written out; and what it keeps to."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest

from policy.funding_advice import (
    Circumstances,
    Limit,
    Spent,
    advise,
    arrival_of,
    days_left,
    round_up,
)

USD = 1_000_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
# Calls hold at most 300 seconds; a charge takes half an hour; three recharges an hour.
AROUND = Circumstances(
    held_micros=0,
    slice_seconds=300,
    arrival_ms=HOUR_MS // 2,
    least_micros=20 * USD,
    lot_life_ms=365 * DAY_MS,
    burst_most=3,
    burst_within_ms=HOUR_MS,
)
MONDAY = 0


def spent_of(days: list[int], first_weekday: int = MONDAY) -> Spent:
    """Spend each day's money in its hours 9 to 12, a quarter each."""
    hours: list[int] = []
    for micros in days:
        hours += [0] * 9 + [micros // 4] * 4 + [0] * 11
    return Spent(tuple(days), tuple(hours), first_weekday)


def test_a_steady_tenant() -> None:
    """48 a day for 60 days.

    Two hours of the clock are touched by half an hour: 12 + 12. Running calls hold 300 s of the
    dearest hour: 12 x 300 / 3,600 = 1. It does not grow. Trigger: 24 + 1 = 25. Amount: a week,
    7 x 48 = 336, to two digits 340. Today's 500 with the whole of today to come: ten days are 480,
    eleven 528, so it ends on day 10; no day is dearer than another, so surely then.
    """
    spent = spent_of([48 * USD] * 60)

    advice = advise(spent, AROUND)

    assert advice.trigger_micros == 25 * USD
    assert advice.amount_micros == 340 * USD
    assert advice.held_micros == 1 * USD
    assert advice.month_micros == 30 * 48 * USD
    assert advice.limits == frozenset()
    assert days_left(spent, 500 * USD, Fraction(1)) == (10, 10)


def test_a_tenant_that_calls_at_weekends() -> None:
    """8 on the five working days, 80 on Saturday and Sunday: 200 a week, for 8 weeks.

    Two hours of a Saturday: 20 + 20 = 40; held 20 x 300 / 3,600 = 1.666667. Trigger: 41.666667, to
    two digits 42. Amount: 200. Today is a Monday: 5 x 8 = 40 until Friday, 120 with Saturday, 200
    with Sunday, 280 with the next working week of 40 and its Saturday on day 12: 250 ends there.
    """
    week = [8 * USD] * 5 + [80 * USD] * 2
    spent = spent_of(week * 8)

    advice = advise(spent, AROUND)

    assert spent.weekdays == tuple(map(Fraction, week))
    assert advice.held_micros == math.ceil(Fraction(20 * USD * 300, 3_600)) == 1_666_667
    assert advice.trigger_micros == 42 * USD
    assert advice.amount_micros == 200 * USD
    assert days_left(spent, 250 * USD, Fraction(1)) == (12, 12)


def test_a_growing_tenant() -> None:
    """Weeks of 70, 84, 98 ... : 2 a day more each week, for 8 weeks; the last one costs 168.

    The line grows by 14 a week and meets each of them. The coming weeks: 182, 196, 210, 224; their
    mean is the amount, 203, to two digits 210. The dearest two hours are of the last week, 24 / 4 x
    2 = 12; held 6 x 300 / 3,600 = 0.5. Until the fourth coming week it grows by 224 / 168 = 4 / 3.
    Trigger: 12.5 x 4 / 3 = 16.666667, to two digits 17. A balance of 400: 182 + 196 = 378 in two
    weeks, 30 a day in the third, so it ends on day 14.
    """
    spent = spent_of([(10 + 2 * week) * USD for week in range(8) for _ in range(7)])

    advice = advise(spent, AROUND)

    assert spent.weeks == tuple((70 + 14 * week) * USD for week in range(8))
    assert spent.week_growth == 14 * USD
    coming = [182 * USD, 196 * USD, 210 * USD, 224 * USD]
    assert list(map(spent.week, range(4))) == coming
    assert advice.amount_micros == 210 * USD
    assert advice.trigger_micros == 17 * USD
    assert advice.month_micros == sum(coming) + 2 * 34 * USD
    assert days_left(spent, 400 * USD, Fraction(1)) == (14, 14)


def test_a_balance_ends_earlier_where_days_differ() -> None:
    """Weeks of 70, each weekday 10 in the mean; six days of seven are 10 off that.

    After n days 10 n are spent usually; nine times of ten no more than 10 n + 1.2816 x d x sqrt(n),
    with d the root of 600 / 7, 9.26. Of 200, 10 n is more after 21 days, which is day 20. With n =
    16 the other is 160 + 47.5 = 207.5, with 15 it is 150 + 46 = 196: day 15.
    """
    odd, even = [0, 20, 0, 20, 0, 20, 10], [20, 0, 20, 0, 20, 0, 10]
    spent = spent_of([each * USD for week in [odd, even, even, odd] * 2 for each in week])

    assert set(spent.weekdays) == {10 * USD}
    assert days_left(spent, 200 * USD, Fraction(1)) == (20, 15)


def test_half_a_day_is_half_as_dear() -> None:
    spent = spent_of([48 * USD] * 60)

    assert days_left(spent, 24 * USD, Fraction(1, 2)) == (1, 1)
    assert days_left(spent, 23 * USD, Fraction(1, 2)) == (0, 0)


@pytest.mark.parametrize("days", [[], [48 * USD] * 27, [0] * 60], ids=["none", "few", "free"])
def test_too_little_is_known_and_the_start_is_small(days: list[int]) -> None:
    advice = advise(spent_of(days), AROUND)

    assert (advice.trigger_micros, advice.amount_micros) == (20 * USD, 20 * USD)
    assert advice.limits == {Limit.MINIMUM}


def test_a_balance_without_spending_does_not_end() -> None:
    assert days_left(spent_of([0] * 60), 1, Fraction(1)) == (None, None)
    assert days_left(spent_of([48 * USD] * 27), 1, Fraction(1)) == (None, None)


def test_less_than_the_minimum_is_not_advised() -> None:
    advice = advise(spent_of([USD] * 60), AROUND)

    assert (advice.amount_micros, set(advice.limits)) == (20 * USD, {Limit.MINIMUM})


def test_the_largest_balance_is_kept_to() -> None:
    """25 and 340 by the spending; at most 300 in all leaves 275, to two digits 270."""
    spent = spent_of([48 * USD] * 60)

    advice = advise(spent, replace(AROUND, max_balance_micros=300 * USD))
    least = advise(spent, replace(AROUND, max_balance_micros=40 * USD))

    assert (advice.trigger_micros, advice.amount_micros) == (25 * USD, 270 * USD)
    assert advice.limits == {Limit.MAX_BALANCE}
    assert (least.trigger_micros, least.amount_micros) == (20 * USD, 20 * USD)
    assert least.limits == {Limit.MAX_BALANCE, Limit.MINIMUM}


def test_a_monthly_limit_is_kept_to_and_told_where_a_month_costs_more() -> None:
    spent = spent_of([48 * USD] * 60)

    small = advise(spent, replace(AROUND, monthly_limit_micros=250 * USD))
    ample = advise(spent, replace(AROUND, monthly_limit_micros=1_440 * USD))

    assert (small.amount_micros, set(small.limits)) == (250 * USD, {Limit.MONTHLY_LIMIT})
    assert (ample.amount_micros, ample.limits) == (340 * USD, frozenset())


def test_no_more_is_bought_than_is_spent_before_it_expires() -> None:
    """In the five days of a lot 5 x 48 = 240 are spent; beside a trigger of 25 that leaves 215."""
    spent = spent_of([48 * USD] * 60)

    advice = advise(spent, replace(AROUND, lot_life_ms=5 * DAY_MS))

    assert (advice.trigger_micros, advice.amount_micros) == (25 * USD, 210 * USD)
    assert advice.limits == {Limit.LOT_LIFE}


def test_a_rush_is_closed_by_as_many_recharges_as_may_follow_each_other() -> None:
    """700 on Mondays within two hours, and a charge arrives at once.

    A fortnight touches 337 hours: two Mondays and an hour of a third, 700 + 700 + 350 = 1,750. One
    recharge in that time has to be so much, to two digits 1,800; of three each a third, 584, which
    is less than a week.
    """
    days = [700 * USD, 0, 0, 0, 0, 0, 0] * 8
    hours: list[int] = []
    for micros in days:
        hours += [micros // 2] * 2 + [0] * 22
    spent = Spent(tuple(days), tuple(hours), MONDAY)
    around = replace(AROUND, burst_within_ms=14 * DAY_MS, arrival_ms=1)

    one, three = advise(spent, replace(around, burst_most=1)), advise(spent, around)

    assert (one.amount_micros, set(one.limits)) == (1_800 * USD, {Limit.BURST})
    assert (three.amount_micros, three.limits) == (700 * USD, frozenset())


def test_what_runs_now_counts_where_it_is_more_than_ever() -> None:
    spent = spent_of([48 * USD] * 60)

    advice = advise(spent, replace(AROUND, held_micros=6 * USD))

    assert (advice.held_micros, advice.trigger_micros) == (6 * USD, 30 * USD)


def test_a_charge_takes_as_long_as_nine_of_ten_took() -> None:
    assert arrival_of([], 7) == 7
    assert arrival_of([5], 7) == 5
    assert arrival_of([*range(1, 10), 1_000], 7) == 9
    assert arrival_of([1, 2, 1_000], 7) == 1_000


def test_figures_are_rounded_up_to_what_people_set() -> None:
    assert list(map(round_up, (0, 1, 99, 100, 101, 336 * USD))) == [0, 1, 99, 100, 110, 340 * USD]
