"""Figures as files spell them: money in units, increments, instants; read exactly or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final

import msgspec

MICROS_DIGITS: Final = 6
MILLISECONDS: Final = 1000
# A table spells the same few dates and increments in all of its rows.
CACHED_SPELLINGS: Final = 256

# A tenth of what the ledger can hold as a whole number (2^53), so that sums stay far below it.
Money = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[0-9]{1,8}(\.[0-9]{1,6})?\Z",
        description='an amount in units, at most 99999999 with six decimals, such as "50.00"',
    ),
]
Country = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Z]{2}\Z", description='a country code of two capitals, such as "IT"'
    ),
]
Increments = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[1-9][0-9]{0,3}/[1-9][0-9]{0,3}\Z",
        description='seconds of the first and of each next increment, such as "60/6"',
    ),
]
E164 = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A\+[1-9][0-9]{4,14}\Z",
        description='a number in E.164, "+" and at most 15 digits, such as "+390612345678"',
    ),
]


def to_micros(amount: str) -> int:
    """Turn an amount that `Money` allows into micros, without any rounding."""
    units, _, decimals = amount.partition(".")
    return int(units + decimals.ljust(MICROS_DIGITS, "0"))


@lru_cache(maxsize=CACHED_SPELLINGS)
def to_increments(increments: str) -> tuple[int, int]:
    """Turn "60/6" into the seconds of the first and of each next increment."""
    first, _, following = increments.partition("/")
    return int(first), int(following)


@lru_cache(maxsize=CACHED_SPELLINGS)
def to_milliseconds(instant: str) -> int:
    """Turn a date, or a date and time with its zone, into milliseconds since 1970.

    A date alone is its midnight in UTC. Raises ValueError, which says what would be right.
    """
    try:
        moment = datetime.fromisoformat(instant)
    except ValueError:
        raise ValueError(
            f"valid_from is {instant!r}; give a date or an instant such as 2027-01-01T08:00:00Z"
        ) from None
    if len(instant) > len("2027-01-01") and moment.tzinfo is None:
        raise ValueError(
            f"valid_from is {instant!r}; a time of day needs its zone, such as Z or +01:00"
        )
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * MILLISECONDS
