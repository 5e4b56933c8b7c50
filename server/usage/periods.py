"""Days, weeks and months of a time zone, as stretches of time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

# More days than two years have.
MOST_PERIODS = 800
_MS = 1_000


class Period(StrEnum):
    """How long a stretch is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Span(NamedTuple):
    """From a time on and before another; named by the day on which it begins, or by its month."""

    name: str
    from_ms: int
    to_ms: int


class TooManyPeriods(Exception):
    """There are more of them than one answer tells."""


def start_of(day: date, zone: str) -> int:
    """Say when a day begins in a zone."""
    return int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp()) * _MS


def day_at(time_ms: int, zone: str) -> date:
    """Say which day it is in a zone."""
    return datetime.fromtimestamp(time_ms // _MS, UTC).astimezone(ZoneInfo(zone)).date()


def spans(period: Period, zone: str, *, from_ms: int, to_ms: int) -> list[Span]:
    """List the periods from a time on and before another; the first and last may be cut short.

    Raises `TooManyPeriods`.
    """
    found: list[Span] = []
    first = _first_day(period, day_at(from_ms, zone))
    while (start_ms := start_of(first, zone)) < to_ms:
        if len(found) == MOST_PERIODS:
            raise TooManyPeriods
        following = next_of(period, first)
        end_ms = start_of(following, zone)
        found.append(Span(_name_of(period, first), max(from_ms, start_ms), min(to_ms, end_ms)))
        first = following
    return found


def span_at(period: Period, zone: str, time_ms: int) -> Span:
    """Say in which period a time is, uncut."""
    first = _first_day(period, day_at(time_ms, zone))
    return Span(
        _name_of(period, first), start_of(first, zone), start_of(next_of(period, first), zone)
    )


def next_of(period: Period, first: date) -> date:
    """Say on which day the next period begins."""
    match period:
        case Period.DAY:
            return first + timedelta(1)
        case Period.WEEK:
            return first + timedelta(7)
        case Period.MONTH:
            return (first.replace(day=1) + timedelta(31)).replace(day=1)


def _name_of(period: Period, first: date) -> str:
    return first.isoformat()[:7] if period is Period.MONTH else first.isoformat()


def _first_day(period: Period, day: date) -> date:
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - timedelta(day.weekday())
        case Period.MONTH:
            return day.replace(day=1)
