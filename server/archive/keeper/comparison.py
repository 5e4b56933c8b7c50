"""Comparing a store with the archive before it is used: none that went back is granted from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from server.archive import Archive, EntryUnfit, Position, PositionMoved
from server.archive.keeper.drain import ArchiveBehind, PartitionLost, following
from server.archive.keeper.entries import EntryUnknown
from server.archive.keeper.rebuild import Rebuild, RebuildOvertaken
from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.journal.entries import JournalReader
from server.storage.redis import StoreUnavailable
from server.storage.sql.errors import ArchiveUnavailable

# Who asks waits meanwhile; an archive that takes longer is away.
ARCHIVE_SECONDS = 1.0
_AT_ONCE = 32
# Others may be shutting the same partitions.
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
_ROUND_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Comparison:
    """Shuts partitions whose journal is behind the archive; who finds them shut fills them anew.

    It works on connections of its own. While the archive is away nothing can be compared: calls go
    on, and it is made up for as soon as the archive answers.
    """

    def __init__(self, journal: JournalReader, archive: Archive, rebuild: Rebuild) -> None:
        self._journal = journal
        self._archive = archive
        self._rebuild = rebuild
        self._owed = asyncio.Event()

    @property
    def is_owed(self) -> bool:
        """Whether the store is in use without having been compared."""
        return self._owed.is_set()

    async def before_use(self) -> None:
        """Compare, if the archive answers. Raises `StoreUnavailable`."""
        try:
            await self._compare()
        except ArchiveUnavailable as error:
            if not self._owed.is_set():
                _log.error("The store is used without being compared with the archive: %s", error)
            self._owed.set()

    async def run(self) -> None:
        """Make up for what could not be compared, until cancelled."""
        while True:
            await self._owed.wait()
            await asyncio.sleep(_ROUND_SECONDS)
            try:
                await self._compare()
            except (ArchiveUnavailable, StoreUnavailable) as error:
                _log.debug("The store is compared with the archive later: %s", error)
            else:
                self._owed.clear()

    async def _compare(self) -> None:
        for _ in range(_ATTEMPTS):
            positions = await self._positions()
            lost = await self._lost(positions)
            try:
                for partition in lost:
                    await self._shut(partition, positions[partition])
            except (PositionMoved, RebuildOvertaken):
                await asyncio.sleep(_PAUSE_SECONDS)
            except LedgerUnavailable as error:
                raise StoreUnavailable(f"the store is behind the archive: {error}") from error
            else:
                return
        raise StoreUnavailable("the store is behind the archive, and others are at it")

    async def _positions(self) -> dict[int, Position]:
        try:
            async with asyncio.timeout(ARCHIVE_SECONDS):
                if not await self._archive.database.is_made():
                    # Nothing was ever archived: there is nothing that a store could be behind.
                    return {}
                return await self._archive.positions()
        except TimeoutError as error:
            raise ArchiveUnavailable(f"no answer within {ARCHIVE_SECONDS:g} s") from error

    async def _lost(self, positions: Mapping[int, Position]) -> list[int]:
        """List the partitions that would be decided in though they are behind the archive.

        Those of a primary that is away are compared when it is connected to.
        """
        gate = asyncio.Semaphore(_AT_ONCE)

        async def is_lost(partition: int, position: Position) -> bool | LedgerUnavailable:
            async with gate:
                try:
                    return await self._is_lost(partition, position)
                except LedgerUnavailable as error:
                    return error

        found = await asyncio.gather(*(is_lost(*each) for each in positions.items()))
        away = [each for each in found if isinstance(each, LedgerUnavailable)]
        if away and len(away) == len(found):
            raise StoreUnavailable(str(away[0]))
        return [partition for partition, each in zip(positions, found, strict=True) if each is True]

    async def _is_lost(self, partition: int, position: Position) -> bool:
        try:
            found = await self._journal.read(partition, from_n=position.n, limit=1)
            following(position, found, await self._journal.last(partition))
        except (ArchiveBehind, LedgerDamaged):
            # The keeper tells it.
            return False
        except PartitionLost as lost:
            if await self._rebuild.has_accounts(partition):
                _log.error("Partition %d is shut before it is used: %s.", partition, lost)
                return True
        return False

    async def _shut(self, partition: int, position: Position) -> None:
        try:
            await self._rebuild.shut(partition, position, await self._journal.last(partition))
        except (ArchiveBehind, EntryUnfit, EntryUnknown, LedgerDamaged) as error:
            # It is an operator's to mend, and no reason to serve nobody else.
            _log.error("Partition %d is used though it is behind: %s", partition, error)
