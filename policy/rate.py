"""What a destination costs, and since when."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class DatedRate:
    """A rate and the instant it comes into force (milliseconds since 1970, UTC)."""

    valid_from_ms: int
    rate: Rate
