"""How much to fund, from what was spent: the trigger, the amount, and when a balance ends.

Whole micros in and out, exact fractions between: no figure depends on a machine. docs/advice.md
writes the calculation out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from itertools import accumulate

LEAST_DAYS, MOST_DAYS = 28, 60
_WEEK = 7
_MOST_WEEKS = 8
# The coming weeks for which advice is meant; then it is asked for again.
_COMING_WEEKS = 4
_MONTH_DAYS = 30
# Standard deviations beyond which one of ten lies.
_NINE_OF_TEN = Fraction(12_816, 10_000)
# No balance is said to end later than so many days from now.
_HORIZON_DAYS = 730
_SECONDS_PER_HOUR = 3_600
_MS_PER_HOUR, _MS_PER_DAY = 3_600_000, 86_400_000


class Limit(StrEnum):
    """What made the advice another one than the spending alone would."""

    MINIMUM = "minimum"
    MAX_BALANCE = "max_balance"
    MONTHLY_LIMIT = "monthly_limit"
    BURST = "burst"
    LOT_LIFE = "lot_life"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What advice has to keep to. Money in micros; None is no limit.

    `held_micros` is what running calls hold now, `slice_seconds` what each of them holds at most.
    `arrival_ms` is how long a charge takes to arrive. So many recharges (`burst_most`) may follow
    each other within `burst_within_ms`. `least_micros` is what is bought at once at least.
    """

    held_micros: int
    slice_seconds: int
    arrival_ms: int
    least_micros: int
    lot_life_ms: int
    burst_most: int
    burst_within_ms: int
    max_balance_micros: int | None = None
    monthly_limit_micros: int | None = None


@dataclass(frozen=True)
class Spent:
    """What was spent: micros of each complete day, of each hour of them, the oldest first.

    `first_weekday` is that of the first day, Monday being 0.
    """

    days: tuple[int, ...]
    hours: tuple[int, ...]
    first_weekday: int

    @property
    def is_enough(self) -> bool:
        """Whether anything can be said of the future."""
        return len(self.days) >= LEAST_DAYS

    @cached_property
    def weeks(self) -> tuple[int, ...]:
        """The last whole weeks, eight at most, the oldest first."""
        count = min(_MOST_WEEKS, len(self.days) // _WEEK)
        recent = self._recent(count)
        return tuple(sum(recent[each * _WEEK : (each + 1) * _WEEK]) for each in range(count))

    @cached_property
    def weekdays(self) -> tuple[Fraction, ...]:
        """What was spent on a Monday, a Tuesday and so on, in the mean of these weeks."""
        sums = [0] * _WEEK
        recent = self._recent(len(self.weeks))
        first = self.first_weekday + len(self.days) - len(recent)
        for at, micros in enumerate(recent):
            sums[(first + at) % _WEEK] += micros
        return tuple(Fraction(each, len(self.weeks)) for each in sums)

    @cached_property
    def week_mean(self) -> Fraction:
        """What a week cost in the mean."""
        return Fraction(sum(self.weeks), len(self.weeks))

    @cached_property
    def week_growth(self) -> Fraction:
        """By how much each week costs more than the one before it: the line through the weeks."""
        count = len(self.weeks)
        return Fraction(
            6 * sum((2 * at - (count - 1)) * week for at, week in enumerate(self.weeks)),
            count * (count * count - 1),
        )

    def week(self, ahead: int) -> Fraction:
        """Say what a week costs by that line: 0 is the coming one, -1 the last one; never less."""
        middle = Fraction(len(self.weeks) + 1, 2)
        return max(Fraction(0), self.week_mean + self.week_growth * (ahead + middle))

    @cached_property
    def coming_week(self) -> Fraction:
        """What a week will cost in the mean of the coming ones."""
        weeks = (self.week(ahead) for ahead in range(_COMING_WEEKS))
        return sum(weeks, Fraction(0)) / _COMING_WEEKS

    def day(self, ahead: int) -> Fraction:
        """Say what a day will cost, or by the line should have: 0 is today."""
        if not self.week_mean:
            return Fraction(0)
        weekday = (self.first_weekday + len(self.days) + ahead) % _WEEK
        return self.week(ahead // _WEEK) * self.weekdays[weekday] / self.week_mean

    @cached_property
    def deviation_squared(self) -> Fraction:
        """How far days are from what the line says, squared, in the mean."""
        recent = self._recent(len(self.weeks))
        off = [micros - self.day(at - len(recent)) for at, micros in enumerate(recent)]
        return sum((each * each for each in off), Fraction(0)) / len(off)

    def dearest(self, hours: int) -> int:
        """Say what the dearest of so many hours in a row cost."""
        so_far = [0, *accumulate(self.hours)]
        last = max(1, len(self.hours) - hours + 1)
        return max(so_far[min(at + hours, len(self.hours))] - so_far[at] for at in range(last))

    def _recent(self, weeks: int) -> tuple[int, ...]:
        return self.days[len(self.days) - weeks * _WEEK :]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to set, in micros, and which limits it was that made it so.

    `held_micros` is what running calls hold at the busiest, `month_micros` what the next 30 days
    will cost.
    """

    trigger_micros: int
    amount_micros: int
    held_micros: int
    month_micros: int
    limits: frozenset[Limit]


def advise(spent: Spent, around: Circumstances) -> Advice:
    """Say what to set. Of too few days, or where nothing was spent: the small start."""
    if not spent.is_enough or not sum(spent.weeks):
        return _small_start(around)
    growth = _growth(spent)
    held = max(around.held_micros, -(-spent.dearest(1) * around.slice_seconds // _SECONDS_PER_HOUR))
    waiting = spent.dearest(_hours(around.arrival_ms))
    rush = Fraction(spent.dearest(_hours(around.burst_within_ms)), around.burst_most) * growth
    usual = max(spent.coming_week, waiting * growth)
    advice = Advice(
        trigger_micros=round_up(math.ceil((waiting + held) * growth)),
        amount_micros=round_up(math.ceil(max(usual, rush))),
        held_micros=held,
        month_micros=math.ceil(sum(spent.day(ahead) for ahead in range(_MONTH_DAYS))),
        limits=frozenset([Limit.BURST] if rush > usual else []),
    )
    return _within(advice, spent, around)


def days_left(spent: Spent, balance_micros: int, left_of_today: Fraction) -> tuple[int | None, ...]:
    """Say in how many days a balance ends: usually, and where more is spent than nine times of ten.

    0 is today, of which `left_of_today` is still to come. None: not within two years.
    """
    if not spent.is_enough:
        return None, None
    usual = careful = None
    spread = spent.deviation_squared
    spending = Fraction(0)
    for ahead in range(_HORIZON_DAYS):
        spending += spent.day(ahead) * (left_of_today if ahead == 0 else 1)
        days = ahead + left_of_today
        if careful is None and spending + _NINE_OF_TEN * _root(spread * days) > balance_micros:
            careful = ahead
        if spending > balance_micros:
            usual = ahead
            break
    return usual, careful


def round_up(micros: int) -> int:
    """Round up to two leading digits: what people set."""
    step = _step_of(micros)
    return -(-micros // step) * step


def _small_start(around: Circumstances) -> Advice:
    least = around.least_micros
    return Advice(least, least, around.held_micros, 0, frozenset([Limit.MINIMUM]))


def _growth(spent: Spent) -> Fraction:
    """Say by what the dearest hours grow until the last of the coming weeks; never less than 1."""
    last = spent.week(-1)
    return max(Fraction(1), spent.week(_COMING_WEEKS - 1) / last) if last else Fraction(1)


def _hours(time_ms: int) -> int:
    """Say how many hours of the clock a time may touch."""
    return -(-time_ms // _MS_PER_HOUR) + 1


def _within(advice: Advice, spent: Spent, around: Circumstances) -> Advice:
    """Cut what is wanted to what is allowed, the minimum last: less cannot be bought."""
    trigger, amount, limits = advice.trigger_micros, advice.amount_micros, set(advice.limits)
    least, most = around.least_micros, around.max_balance_micros
    for limit, room in _rooms(trigger, spent, around):
        if amount > room:
            limits.add(limit)
            amount = _round_down(room)
    if amount < least:
        limits.add(Limit.MINIMUM)
        amount = least
    if most is not None and trigger + amount > most:
        limits.add(Limit.MAX_BALANCE)
        trigger = max(1, most - amount)
    monthly = around.monthly_limit_micros
    if monthly is not None and advice.month_micros > monthly:
        limits.add(Limit.MONTHLY_LIMIT)
    return replace(advice, trigger_micros=trigger, amount_micros=amount, limits=frozenset(limits))


def _rooms(trigger: int, spent: Spent, around: Circumstances) -> Iterator[tuple[Limit, int]]:
    """Say how much one recharge may be by each limit."""
    # What is bought beside a balance of the trigger is spent after it, before it expires.
    lately = Fraction(sum(spent.weeks[-_COMING_WEEKS:]), _COMING_WEEKS)
    slowest = min(lately, spent.coming_week)
    yield Limit.LOT_LIFE, math.floor(slowest * around.lot_life_ms / (_WEEK * _MS_PER_DAY)) - trigger
    if around.max_balance_micros is not None:
        yield Limit.MAX_BALANCE, around.max_balance_micros - trigger
    if around.monthly_limit_micros is not None:
        yield Limit.MONTHLY_LIMIT, around.monthly_limit_micros


def _round_down(micros: int) -> int:
    step = _step_of(max(0, micros))
    return max(0, micros) // step * step


def _step_of(micros: int) -> int:
    """Say what the second digit of a figure counts."""
    return int(10 ** max(0, len(str(micros)) - 2))


def _root(number: Fraction) -> Fraction:
    """Take the square root, down to a whole micro."""
    return Fraction(math.isqrt(math.floor(number)))


def arrival_of(times_ms: Sequence[int], otherwise_ms: int) -> int:
    """Say how long a charge takes: nine of ten of those that arrived took no longer."""
    if not times_ms:
        return otherwise_ms
    ordered = sorted(times_ms)
    return ordered[-(-len(ordered) * 9 // 10) - 1]
