"""Forgetting what is long over: tallies of past periods in the ledger, old rows of the archive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from server.archive import Archive
from server.ledger.keeping import Keeping
from server.ledger.keys import period_of

# A tally outlives its month by this many others.
MONTHS_KEPT = 2
_MONTHS = 12
_MS_PER_SECOND = 1_000


class Sweep:
    """Sweeps old tallies. Safe to repeat: a tally that holds something stays."""

    def __init__(self, keeping: Keeping, archive: Archive, now_ms: Callable[[], int]) -> None:
        self._keeping = keeping
        self._archive = archive
        self._now_ms = now_ms

    async def sweep(self) -> None:
        """Do one round over all accounts."""
        oldest = oldest_period(self._now_ms())
        for tenant_id in await self._archive.tenant_ids():
            fields = await self._keeping.account_fields(tenant_id)
            past = [name for name in fields if (period := period_of(name)) and period < oldest]
            if past:
                await self._keeping.sweep(tenant_id, past)


def oldest_period(now_ms: int) -> str:
    """Name the oldest month whose tallies are kept."""
    now = datetime.fromtimestamp(now_ms / _MS_PER_SECOND, UTC)
    months = now.year * _MONTHS + now.month - 1 - MONTHS_KEPT
    return f"{months // _MONTHS:04d}-{months % _MONTHS + 1:02d}"
