"""Opening partitions that the archive knows, or that nobody opened yet, before they are used."""

from __future__ import annotations

import asyncio

from server.archive import Archive, ArchiveUnavailable, PositionMoved
from server.keeper.rebuild import Rebuild, RebuildOvertaken
from server.ledger import LedgerUnavailable
from server.ledger.journal import JournalReader

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05


class Recovery:
    """Opens a partition for a process that found it closed."""

    def __init__(self, journal: JournalReader, archive: Archive, rebuild: Rebuild) -> None:
        self._journal = journal
        self._archive = archive
        self._rebuild = rebuild
        self._migrated = False

    async def open_partition(self, partition: int) -> None:
        """See to it that a partition is open, filled from the archive where it has to be.

        Raises `LedgerUnavailable` where the archive cannot be asked.
        """
        for _ in range(_ATTEMPTS):
            if await self._journal.last(partition) is not None:
                return
            try:
                await self._open(partition)
            except (RebuildOvertaken, PositionMoved):
                # Somebody else is at it.
                await asyncio.sleep(_PAUSE_SECONDS)
            except ArchiveUnavailable as error:
                raise LedgerUnavailable(f"the archive does not answer: {error}") from error
        raise LedgerUnavailable(f"partition {partition} is being filled from the archive")

    async def _open(self, partition: int) -> None:
        if not self._migrated:
            await self._archive.migrate()
            self._migrated = True
        position = (await self._archive.positions()).get(partition)
        await self._rebuild.rebuild(partition, position)
