"""Watching how full journals are, so that nothing is granted that could not be kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import compress

from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_of

_ROUND_SECONDS = 1.0

_log = logging.getLogger(__name__)


class JournalFill:
    """Knows, a second late at most, which partitions take no more metered calls.

    Nothing is trimmed before it is archived, so a journal grows while the archive is away. Free
    calls and the ends of those that run are taken all the same, and stored answers repeated.
    """

    def __init__(
        self, journal: JournalReader, partitions: Callable[[], Iterable[int]], most_entries: int
    ) -> None:
        self._journal = journal
        self._partitions = partitions
        self._most_entries = most_entries
        self._full: frozenset[int] = frozenset()

    def is_full(self, tenant_id: str) -> bool:
        """Tell whether the journal of a tenant's partition is full."""
        return bool(self._full) and partition_of(tenant_id) in self._full

    async def run(self) -> None:
        """Look round after round, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_ROUND_SECONDS)

    async def look(self) -> None:
        """Look once; while a partition is away, what was seen of it last counts."""
        partitions = list(self._partitions())
        # All at once: one after the other they would come between the calls of a whole second.
        full = await asyncio.gather(*map(self._is_full, partitions))
        self._full = frozenset(compress(partitions, full))

    async def _is_full(self, partition: int) -> bool:
        try:
            # The entry by which a journal is joined to the archive is no burden.
            return await self._journal.length(partition) > self._most_entries
        except LedgerUnavailable:
            return partition in self._full
        except LedgerDamaged as error:
            _log.error("The journal of partition %d takes no calls: %s", partition, error)
            return True
