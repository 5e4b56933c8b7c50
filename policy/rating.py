"""Turning seconds into money, and money into seconds."""

from __future__ import annotations

from dataclasses import dataclass

# Lua has only doubles: above this a whole number may be off by one.
MAX_WHOLE_NUMBER = 2**53 - 1
SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one destination.

    Time is charged in blocks: the first increment whole, then each next increment begun.
    `rate_id` names the row it came from, for an operator to find it again.
    """

    rate_id: str
    currency: str
    micros_per_minute: int
    connection_fee_micros: int
    first_increment_seconds: int
    next_increment_seconds: int


def charged_seconds(rate: Rate, seconds: int) -> int:
    """Round talked seconds up to whole increments; nothing talked is nothing charged."""
    if seconds <= 0:
        return 0
    beyond_first = max(0, seconds - rate.first_increment_seconds)
    next_increments = -(-beyond_first // rate.next_increment_seconds)
    return rate.first_increment_seconds + next_increments * rate.next_increment_seconds


def price_micros(rate: Rate, seconds: int) -> int:
    """Price the time of one purse in one call, without the connection fee, rounded up to a micro."""
    return -(-rate.micros_per_minute * charged_seconds(rate, seconds) // SECONDS_PER_MINUTE)


def affordable_seconds(rate: Rate, micros: int, limit_seconds: int) -> int:
    """Say how many seconds, in whole increments and at least the first, `micros` buys, else 0.

    Never more than the increments that cover `limit_seconds`.
    """
    most = charged_seconds(rate, limit_seconds)
    if price_micros(rate, limit_seconds) <= micros:
        return most
    if price_micros(rate, rate.first_increment_seconds) > micros:
        return 0
    bought = micros * SECONDS_PER_MINUTE // rate.micros_per_minute
    next_increments = (bought - rate.first_increment_seconds) // rate.next_increment_seconds
    return rate.first_increment_seconds + next_increments * rate.next_increment_seconds
