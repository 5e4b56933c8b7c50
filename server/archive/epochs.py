"""How often the store may have lost something: parts filled anew, and primaries that began anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from server.archive.archive import Archive
from server.storage.redis import StoreUnavailable
from server.storage.sql.errors import ArchiveUnavailable

_ROUND_SECONDS = 2.0
_FIRST_EPOCH = 1

_log = logging.getLogger(__name__)


class StoreEpoch:
    """Adds up the epochs of all partitions and the runs of the store that were ever seen.

    A primary that begins anew, or another one in its place, may lack a tail that was neither
    archived nor written: nobody else can tell. `number` is 0 until store and archive have answered,
    and only grows.
    """

    def __init__(self, archive: Archive, runs: Callable[[], Awaitable[Iterable[str]]]) -> None:
        self._archive, self._runs = archive, runs
        self.number = 0

    async def run(self) -> None:
        """Look round after round, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_ROUND_SECONDS)

    async def look(self) -> None:
        """Look once; while store or archive is away, what was seen last counts."""
        try:
            runs = await self._archive.count_runs(await self._runs())
            positions = await self._archive.positions()
        except (ArchiveUnavailable, StoreUnavailable) as error:
            _log.debug("The epochs are read again later: %s", error)
            return
        # A partition that opens for the first time has lost nothing.
        self.number = runs + sum(max(0, each.epoch - _FIRST_EPOCH) for each in positions.values())
