"""Reading files that nobody is changing: a file that is half written may well be sound."""

from __future__ import annotations

import asyncio

from server.facts.from_files import FactsFolders, Signature, read_signature
from server.facts.reload import Differences, ReadingBroke, read_differences
from server.facts.reload_process import InUse

# So often files are looked at, and read, that somebody goes on changing.
MOST_LOOKS, MOST_READINGS = 60, 5


class QuietReader:
    """Reads folders that are alike in two looks before they are read, and in one afterwards."""

    def __init__(self, folders: FactsFolders, quiet_seconds: float) -> None:
        self._folders = folders
        self._quiet_seconds = quiet_seconds
        # How the files were that were read last.
        self.seen: Signature = ()

    async def has_changed(self) -> bool:
        """Tell whether the files are others than those that were read last."""
        return await self._look() != self.seen

    async def read(self, in_use: InUse) -> Differences:
        """Read what differs from what is in use. Raises `ReadingBroke`."""
        for _ in range(MOST_READINGS):
            self.seen = await self._wait_until_quiet()
            found = await read_differences(self._folders, in_use)
            if not await self.has_changed():
                return found
        raise ReadingBroke(f"somebody changed the files during each of {MOST_READINGS} readings")

    async def _wait_until_quiet(self) -> Signature:
        before = await self._look()
        for _ in range(MOST_LOOKS):
            await asyncio.sleep(self._quiet_seconds)
            now = await self._look()
            if now == before:
                return now
            before = now
        raise ReadingBroke(f"somebody went on changing the files during {MOST_LOOKS} looks")

    async def _look(self) -> Signature:
        return await asyncio.to_thread(read_signature, self._folders)
