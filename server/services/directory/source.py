"""Where the directory is read: in the archive, or in a copy of the files that is made for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from sqlalchemy import Connection

from server.facts import FactsInUse
from server.facts.catalogue import CatalogueFiles, read_tables
from server.facts.errors import DirectoryInFiles
from server.facts.from_database import ArchivedTenants
from server.services.directory.files_copy import CopyOfFiles

Result = TypeVar("Result")


class Source(Protocol):
    """Reads and writes the rows of the directory; all raises `ArchiveUnavailable`."""

    # Whether anything can be changed.
    changes: ClassVar[bool]

    async def tables(self) -> CatalogueFiles:
        """Give the catalogue that the directory is checked by."""

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in a transaction that sees one state. Raises `DirectoryUnreadable`."""

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in a transaction, then take into use what it changed.

        Raises `DirectoryInFiles`.
        """

    def take_up(self) -> None:
        """Take into use soon what was changed by another process."""

    async def close(self) -> None:
        """Close what only this one uses."""


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """The archive, which is the truth."""

    archived: ArchivedTenants
    changes: ClassVar[bool] = True

    async def tables(self) -> CatalogueFiles:
        """Give the catalogue that tenants are built by."""
        return self.archived.tables

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read what is committed."""
        return await self.archived.database.read(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Commit, then catch up, so that who is answered OK finds its change in force here."""
        result = await self.archived.database.write(work)
        await self.archived.search(at_once=True)
        return result

    def take_up(self) -> None:
        """Look for what was changed without waiting for the next look."""
        self.archived.look_soon()

    async def close(self) -> None:
        """Close nothing: the archive's connections are those of the tenants in use."""


@dataclass(frozen=True, slots=True)
class FilesSource:
    """The files of the folder, which nobody changes from here."""

    copy: CopyOfFiles
    facts: FactsInUse
    catalogue_folder: Path
    changes: ClassVar[bool] = False

    async def tables(self) -> CatalogueFiles:
        """Read the few small tables that decisions need no more."""
        catalogue = self.facts.current.catalogue
        return await asyncio.to_thread(read_tables, self.catalogue_folder, catalogue)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read a copy of the files."""
        database = await self.copy.database()
        return await database.read(work)

    async def write(
        self,
        work: Callable[[Connection], Result],  # noqa: ARG002 -- Whatever it is.
    ) -> Result:
        """Refuse."""
        raise DirectoryInFiles

    def take_up(self) -> None:
        """Do nothing: files are looked at whenever somebody asks."""

    async def close(self) -> None:
        """Throw the copy away."""
        await self.copy.close()
