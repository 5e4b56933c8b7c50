"""How often parts of the store were filled anew: by it callers know that something may be lost."""

from __future__ import annotations

import asyncio
import logging

from server.archive.archive import Archive
from server.storage.sql.errors import ArchiveUnavailable

_ROUND_SECONDS = 2.0
_FIRST_EPOCH = 1

_log = logging.getLogger(__name__)


class StoreEpoch:
    """Adds up the epochs of all partitions; `number` is 0 until the archive has answered."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.number = 0

    async def run(self) -> None:
        """Look round after round, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_ROUND_SECONDS)

    async def look(self) -> None:
        """Look once; while the archive is away, what was seen last counts."""
        try:
            positions = await self._archive.positions()
        except ArchiveUnavailable as error:
            _log.debug("The epochs are read again later: %s", error)
            return
        # A partition that opens for the first time has lost nothing.
        self.number = 1 + sum(max(0, each.epoch - _FIRST_EPOCH) for each in positions.values())
