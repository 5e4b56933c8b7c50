"""The identities in use, and how they change while questions are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from server.access.identities import Identities, Identity, KnownToken
from server.access.identity_file import read_identities
from server.access.identity_store import IdentityStore, KeptIdentity
from server.access.roles import Role
from server.facts.files.problems import InvalidFacts
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveError

# Together with the look at streams this keeps the promise of 5 s.
POLL_SECONDS = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where identities come from.

    `stamp` differs when there is something new to `read`. Both raise `InvalidFacts`, `OSError` or
    `ArchiveError` for what an operator has to mend.
    """

    name: str
    stamp: Callable[[], Awaitable[object]]
    read: Callable[[], Awaitable[list[Identity]]]


def file_source(path: Path) -> Source:
    """Read identities from a file."""

    async def stamp() -> object:
        fact = await asyncio.to_thread(path.stat)
        return (fact.st_mtime_ns, fact.st_size, fact.st_ino)

    async def read() -> list[Identity]:
        return await asyncio.to_thread(read_identities, path)

    return Source(str(path), stamp, read)


def archive_source(database: Database) -> Source:
    """Read the identities that were made by an RPC."""
    store = IdentityStore(database)
    migrated = False

    async def stamp() -> object:
        nonlocal migrated
        if not migrated:
            # The keeper, which else does this, may come later.
            await database.migrate()
            migrated = True
        return await store.changes()

    async def read() -> list[Identity]:
        return [_identity(one) for one in await store.read()]

    return Source("the archive", stamp, read)


def _identity(kept: KeptIdentity) -> Identity:
    return Identity(
        kept.identity_id,
        frozenset(Role(role) for role in kept.roles),
        None if kept.tenants is None else frozenset(kept.tenants),
        tokens=tuple(KnownToken(token.sha256, token.expire_ms) for token in kept.tokens),
    )


class IdentitiesInUse:
    """Holds the identities of all sources, and takes over what changes.

    A source that cannot be read leaves those it gave before in use, which is told to the log and
    counted. Where two sources know the same identity, the first one's counts.
    """

    def __init__(
        self, sources: Sequence[Source] = (), *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._sources = sources
        self.failures = 0
        self._poll_seconds = poll_seconds
        self._stamps: dict[str, object] = {}
        self._found: dict[str, list[Identity]] = {}
        self._troubles: dict[str, str] = {}
        self._requested = asyncio.Event()
        self._looking = asyncio.Lock()
        self.current = Identities()

    async def load(self) -> None:
        """Read all sources for the first time. Raises `InvalidFacts` and `OSError`.

        An archive that is away is waited for while emergencies are served.
        """
        for source in self._sources:
            try:
                await self._read(source)
            except ArchiveError as error:
                self._failed(source, error)
        self._join()

    def request_reload(self) -> None:
        """Have all sources read soon, changed or not; for a signal handler."""
        self._stamps.clear()
        self._requested.set()

    async def run(self) -> None:
        """Look for changes again and again, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._requested.wait()
            self._requested.clear()
            await self.look()

    async def look(self) -> None:
        """Look once for changes, and take them over."""
        # One after the other, so that what was read first does not stand over what came later.
        async with self._looking:
            for source in self._sources:
                try:
                    await self._read(source)
                    self._troubles.pop(source.name, None)
                except (ArchiveError, InvalidFacts, OSError) as error:
                    self._failed(source, error)
            self._join()

    async def _read(self, source: Source) -> None:
        stamp = await source.stamp()
        if source.name in self._stamps and self._stamps[source.name] == stamp:
            return
        self._found[source.name] = await source.read()
        self._stamps[source.name] = stamp

    def _join(self) -> None:
        joined: dict[str, Identity] = {}
        for source in self._sources:
            found = self._found.get(source.name, ())
            joined = {one.identity_id: one for one in found} | joined
        if joined != self.current.by_id:
            self.current = Identities(joined.values())
            _log.info("%d identities may ask.", len(joined))

    def _failed(self, source: Source, error: Exception) -> None:
        self.failures += 1
        if self._troubles.get(source.name) == str(error):
            # What lasts is told once.
            return
        self._troubles[source.name] = str(error)
        for line in str(error).splitlines():
            _log.error("Identities not taken over from %s: %s", source.name, line)
