"""Words that several kinds of records share."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_MS = 1_000


def time_text(time_ms: int) -> str:
    """Write a time as records have it, to the millisecond."""
    seconds, milliseconds = divmod(time_ms, _MS)
    return f"{_second(seconds)}.{milliseconds:03d}+00:00"


# Nearly all of a batch were decided within a second or two.
@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
