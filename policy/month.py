"""The calendar month an allowance is counted in."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

# Local midnights of every time zone fall on a whole quarter of an hour of UTC.
QUARTER_HOUR_MS: Final = 15 * 60 * 1000
_CACHED_QUARTERS: Final = 1024


def month(time_zone: str, now_ms: int) -> str:
    """Name the month of an instant in a time zone: "2026-11". A call belongs to where it starts."""
    return _month_of_quarter(time_zone, now_ms // QUARTER_HOUR_MS)


@lru_cache(maxsize=_CACHED_QUARTERS)
def _month_of_quarter(time_zone: str, quarter: int) -> str:
    start = datetime.fromtimestamp(quarter * QUARTER_HOUR_MS / 1000, UTC)
    return start.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m")
