"""A copy of the files of the directory, made anew when somebody looks and a file has changed."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

from server.facts.errors import DirectoryUnreadable
from server.facts.from_files import FactsFolders, Signature, read_signature
from server.storage.sql.database import Database

COPY_SECONDS = 120
TREE = Path(__file__).parents[3]


class CopyOfFiles:
    """Makes the copy in another process, which parses without holding the loop."""

    def __init__(self, folder: Path) -> None:
        # Only the directory's files are looked at, as if they were a catalogue.
        self._folders = FactsFolders(folder, None)
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._copied: Signature | None = None
        self._database: Database | None = None
        self._count = 0
        self._copying = asyncio.Lock()
        self._asked: set[asyncio.Task[Database]] = set()

    async def database(self) -> Database:
        """Give a database with the rows of the files as they are. Raises `DirectoryUnreadable`."""
        # Who gives up waiting leaves the copy to who asks next; else none would ever be done where
        # one takes longer than a caller waits.
        asked = asyncio.create_task(self._database_now())
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return await asyncio.shield(asked)

    async def _database_now(self) -> Database:
        async with self._copying:
            signature = await asyncio.to_thread(read_signature, self._folders)
            if self._database is None or signature != self._copied:
                await self._copy()
                self._copied = signature
            assert self._database is not None, "there is one after a copy"
            return self._database

    async def close(self) -> None:
        """Throw the copy away, and one that is being made."""
        for asked in self._asked:
            asked.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        if self._database is not None:
            await self._database.close()
        if self._home is not None:
            await asyncio.to_thread(self._home.cleanup)

    async def _copy(self) -> None:
        if self._home is None:
            self._home = tempfile.TemporaryDirectory(prefix="callgate-directory-")
        self._count += 1
        url = f"sqlite:///{self._path(self._count)}"
        try:
            async with asyncio.timeout(COPY_SECONDS):
                await self._run_child(url)
        except (TimeoutError, OSError) as error:
            raise DirectoryUnreadable(str(error) or "it takes too long") from error
        before, self._database = self._database, Database(url)
        if before is not None:
            await before.close()
            await asyncio.to_thread(self._throw_away, self._count - 1)

    def _path(self, count: int) -> Path:
        assert self._home is not None, "there is a home before there are copies"
        return Path(self._home.name) / f"copy-{count}.sqlite"

    def _throw_away(self, count: int) -> None:
        self._path(count).unlink(missing_ok=True)

    async def _run_child(self, url: str) -> None:
        folder = str(self._folders.catalogue.absolute())
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.facts.directory.copy_process", folder, url),
            cwd=TREE,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            _, told = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            lines = told.decode("utf-8", "replace").strip().split("\n")
            raise DirectoryUnreadable(lines[-1])
