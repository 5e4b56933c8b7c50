"""Giving back what calls hold that nobody reported on in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from server.ledger import Ledger, LedgerDamaged, LedgerUnavailable
from server.observation.metrics import Metrics

_INTERVAL_SECONDS = 1.0
# Of one partition in one round; the rest waits a second, or less if a reserve needs it.
_MOST_CALLS = 100

_log = logging.getLogger(__name__)


class Expiry:
    """Expires reservations once a second, in the partitions that have tenants."""

    def __init__(
        self, ledger: Ledger, partitions: Callable[[], Iterable[int]], metrics: Metrics
    ) -> None:
        self._ledger = ledger
        self._partitions = partitions
        self._metrics = metrics

    async def run(self) -> None:
        """Work round after round, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            await self.work()

    async def work(self) -> None:
        """Do one round; a ledger that is away ends it, a damaged partition stops no other one."""
        for partition in self._partitions():
            try:
                self._metrics.expired_reservations += await self._ledger.expire(
                    partition, _MOST_CALLS
                )
            except LedgerUnavailable:
                # Whoever watches the ledger has told of it; the next round begins anew.
                return
            except LedgerDamaged as error:
                _log.error("Nothing lapses in partition %d: %s", partition, error)
