"""Opening partitions that the archive knows, or that nobody opened yet, before they are used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from server.archive import Archive, EntryUnfit, PositionMoved
from server.archive.keeper.beginnings import AccountLost, Beginnings
from server.archive.keeper.drain import ArchiveBehind, PartitionLost
from server.archive.keeper.entries import EntryUnknown
from server.archive.keeper.rebuild import Rebuild, RebuildOvertaken
from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.journal.entries import JournalReader
from server.ledger.redis_ledger import Beginning
from server.storage.sql.errors import ArchiveUnavailable

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
# A partition in which something is lost is filled anew no more often than this.
MEND_PAUSE_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Recovery:
    """Opens a partition for a process that found it closed, and mends one that lost something.

    All methods raise `LedgerUnavailable` where the archive cannot be asked.
    """

    def __init__(self, journal: JournalReader, archive: Archive, rebuild: Rebuild) -> None:
        self._archive = archive
        self._rebuild = rebuild
        self._beginnings = Beginnings(journal, archive)
        self._migrated = False
        self._mended_at: dict[int, float] = {}

    async def open_partition(self, partition: int) -> None:
        """See to it that a partition is open, filled from the archive where it has to be."""
        for _ in range(_ATTEMPTS):
            if await self._rebuild.is_open(partition):
                return
            await self._open(partition)
        raise LedgerUnavailable(f"partition {partition} is being filled from the archive")

    def newness(self, partition: int) -> str:
        """Name the place up to which this process knows what began in a partition; "" for none."""
        return self._beginnings.place(partition)

    async def look_for_new(self, partition: int, begun: Sequence[Beginning]) -> str:
        """Name a place up to which nothing of this began.

        Where something did, the store has lost it: the partition is filled anew.
        """
        try:
            return await self._beginnings.look(partition, begun)
        except AccountLost as lost:
            await self.mend(partition, str(lost))
        except PartitionLost as lost:
            if await self._rebuild.is_open(partition):
                await self.mend(partition, str(lost))
            else:
                await self.open_partition(partition)
        except (ArchiveBehind, EntryUnknown) as error:
            raise LedgerUnavailable(str(error)) from error
        except ArchiveUnavailable as error:
            raise LedgerUnavailable(f"the archive does not answer: {error}") from error
        return ""

    def note_begun(
        self, partition: int, begun: Sequence[Beginning], *, before: str, after: str
    ) -> None:
        """Take note of what began between two places."""
        self._beginnings.note(partition, begun, before=before, after=after)

    async def mend(self, partition: int, why: str) -> None:
        """Fill a partition anew in which something is lost, from its journal and the archive.

        Raises `LedgerDamaged` where that was done a moment ago, and did not help.
        """
        since = time.monotonic() - self._mended_at.get(partition, -MEND_PAUSE_SECONDS)
        if since < MEND_PAUSE_SECONDS:
            raise LedgerDamaged(
                f"{why}; filling the partition anew {since:.0f} s ago has not helped"
            )
        self._mended_at[partition] = time.monotonic()
        _log.error("Partition %d is filled anew: %s.", partition, why)
        await self._open(partition)

    async def _open(self, partition: int) -> None:
        try:
            if not self._migrated:
                await self._archive.migrate()
                self._migrated = True
            position = (await self._archive.positions()).get(partition)
            await self._rebuild.rebuild(partition, position)
        except (RebuildOvertaken, PositionMoved):
            # Somebody else is at it.
            await asyncio.sleep(_PAUSE_SECONDS)
        except (ArchiveBehind, EntryUnfit, EntryUnknown) as error:
            raise LedgerUnavailable(str(error)) from error
        except ArchiveUnavailable as error:
            raise LedgerUnavailable(f"the archive does not answer: {error}") from error
