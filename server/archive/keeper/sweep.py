"""Sweeping: tallies that are long over are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from server.ledger.maintenance import KNOWN_MS, Keeping

# A tally outlives its month by this many others.
MONTHS_KEPT = 2
_MONTHS = 12
_MS_PER_SECOND = 1_000


class Sweep:
    """Sweeps old tallies. Safe to repeat: a tally that holds something stays."""

    def __init__(self, keeping: Keeping, now_ms: Callable[[], int]) -> None:
        self._keeping = keeping
        self._now_ms = now_ms

    async def sweep(self, partitions: Iterable[int]) -> None:
        """Do one round over the accounts of these partitions."""
        now_ms = self._now_ms()
        for partition in partitions:
            await self._keeping.sweep(partition, oldest_period(now_ms), now_ms - KNOWN_MS)


def oldest_period(now_ms: int) -> str:
    """Name the oldest month whose tallies are kept."""
    now = datetime.fromtimestamp(now_ms / _MS_PER_SECOND, UTC)
    months = now.year * _MONTHS + now.month - 1 - MONTHS_KEPT
    return f"{months // _MONTHS:04d}-{months % _MONTHS + 1:02d}"
