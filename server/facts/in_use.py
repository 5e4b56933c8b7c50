"""The keeper of the facts: what is in use, and how it changes while questions are answered."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from policy.facts import Catalogue, Tenant
from server.facts.catalogue import read_tables, warn_of_unrated
from server.facts.directory import Directory
from server.facts.errors import FactsBehind
from server.facts.files.problems import InvalidFacts
from server.facts.from_files import FactsFolders, read_facts, read_signature
from server.facts.garbage import collector_at_rest, let_go
from server.facts.losses import losses
from server.facts.quiet import QuietReader
from server.facts.reload import Differences, ReadingBroke
from server.facts.reload_process import InUse

if TYPE_CHECKING:
    from server.facts.from_database import ArchivedTenants

POLL_SECONDS = 2.0
# Between two looks that have to find the files alike before they are read.
QUIET_SECONDS = 0.5
# A tenant that is not known is looked for this often at the most, and waited for so long.
SEARCH_PAUSE_SECONDS, SEARCH_SECONDS = 0.1, 0.4
# Tenants that are announced at once.
TENANTS_AT_ONCE = 32

_log = logging.getLogger(__name__)

Announce = Callable[[Tenant], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a question is decided with: take it once, and decide with nothing else."""

    catalogue: Catalogue
    directory: Directory


@dataclass(frozen=True, slots=True)
class FactsReport:
    """What became of one reading.

    `problems` are lines to show; with any of them, nothing was taken over. `behind` are tenants
    whose account could not be told of their new facts: they keep the old ones until the next look.
    """

    problems: tuple[str, ...] = ()
    catalogue_changed: bool = False
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


def _warn(lines: Collection[str]) -> None:
    for line in lines:
        _log.warning("%s", line)


class FactsInUse:
    """Holds the facts in use and replaces them, tenant by tenant, while the loop serves.

    `announce` is told a tenant's new facts before they come into use, and answers whether the
    account knows their digest now. From then on the ledger calls the old digest stale, and
    `tenant_with_digest` has the new facts for whoever asks; so a question is never decided with
    facts that its account does not know, whichever process reads the files first. `on_report` is
    called after each reading. Neither may raise. With `archived` tenants, the folders are those of
    the catalogue alone.
    """

    def __init__(
        self,
        folders: FactsFolders,
        *,
        announce: Announce,
        on_report: Callable[[FactsReport], None],
        poll_seconds: float = POLL_SECONDS,
        archived: ArchivedTenants | None = None,
    ) -> None:
        self._folders = folders
        self._quiet = QuietReader(folders, min(QUIET_SECONDS, poll_seconds))
        self.archived = archived
        self._announce = announce
        self._on_report = on_report
        self._poll_seconds = poll_seconds
        self._current: Snapshot | None = None
        # For each tenant the facts in use before, and those announced but not in use yet.
        self._former: dict[str, Tenant] = {}
        self._coming: dict[str, Tenant] = {}
        self._requested = asyncio.Event()
        self._reading = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._looked_at = -SEARCH_PAUSE_SECONDS
        # Whether the last look found all that there is in use.
        self._looked_well = True
        self._search: asyncio.Task[FactsReport] | None = None
        self._searched_at = -poll_seconds

    @property
    def current(self) -> Snapshot:
        """The facts in use; there are some once `load` has returned."""
        assert self._current is not None, "load() comes first"
        return self._current

    def load(self) -> None:
        """Read the facts for the first time, before anything is served.

        Raises `InvalidFacts`, whose text is every mistake on a line of its own.
        """
        self._quiet.seen = read_signature(self._folders)
        with collector_at_rest():
            catalogue, tenants = read_facts(self._folders)
            _warn(warn_of_unrated(catalogue))
            self._current = Snapshot(catalogue, Directory.of(tenants.values()))
            self._current.directory.look_for = self.look_for
            if self.archived is not None:
                self._current.directory.complete = False
                self.archived.begin(read_tables(self._folders.catalogue, catalogue), self)
        gc.collect()
        # What was just read stays; the collector need not walk over it again and again.
        gc.freeze()

    def duties(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Name what has to go on while these facts are in use, until it is cancelled."""
        duties = {"Watching the facts": self._watch}
        if self.archived is not None:
            duties["Following the directory"] = self.archived.run
        return duties

    async def stop(self) -> None:
        """Give up a reading under way."""
        if self._search is not None:
            self._search.cancel()
            with suppress(asyncio.CancelledError):
                await self._search
            self._search = None
        if self.archived is not None:
            await self.archived.stop()

    def request_reload(self) -> None:
        """Have the files read soon, changed or not; for a signal handler."""
        self._requested.set()

    async def tenant_with_digest(self, tenant_id: str, digest: str) -> Tenant | None:
        """Find the facts of a tenant that have this digest, reading the files if need be.

        None: neither in use, nor just before or after that, nor in the files. The files are read
        for this at most once in `poll_seconds`, however many ask.
        """
        found = self._find(tenant_id, digest)
        if found is not None:
            return found
        if self.archived is None:
            await self._search_files()
        else:
            await self.archived.search()
        return self._find(tenant_id, digest)

    async def look_for(self, tenant_id: str) -> None:
        """Look whether a tenant that is not in use is new, once for all who ask at a time.

        Raises `FactsBehind` where it is, or nobody knows yet.
        """
        try:
            async with asyncio.timeout(SEARCH_SECONDS):
                await self._look_once()
        except TimeoutError as error:
            raise FactsBehind(tenant_id) from error
        if tenant_id in self.current.directory.tenants:
            return
        left = self.archived.left if self.archived is not None else ()
        if not self._looked_well or tenant_id in self._coming or tenant_id in left:
            raise FactsBehind(tenant_id)

    async def _look_once(self) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with self._looking:
            if self._looked_at > asked_at:
                # Somebody else's look began after this question came.
                return
            await asyncio.sleep(self._looked_at + SEARCH_PAUSE_SECONDS - asked_at)
            self._looked_at = loop.time()
            if self.archived is not None:
                self._looked_well = await self.archived.search(at_once=True)
                return
            if await self._quiet.has_changed():
                self.request_reload()
            self._looked_well = not (self._requested.is_set() or self._reading.locked())

    def _find(self, tenant_id: str, digest: str) -> Tenant | None:
        for tenants in (self.current.directory.tenants, self._coming, self._former):
            tenant = tenants.get(tenant_id)
            if tenant is not None and tenant.digest == digest:
                return tenant
        return None

    async def _search_files(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._search is None or self._search.done():
            if now - self._searched_at < self._poll_seconds:
                return
            self._searched_at = now
            self._search = asyncio.create_task(self.reload(), name="facts-search")
            self._search.add_done_callback(self._note_search)
        # A caller who gives up does not take the reading from the others.
        await asyncio.shield(self._search)

    def _note_search(self, _: asyncio.Task[FactsReport]) -> None:
        self._searched_at = asyncio.get_running_loop().time()

    async def reload(self, losing: Collection[str] = ()) -> FactsReport:
        """Read the files in another process, once they are quiet, and take over what differs.

        With any mistake in them, all that is in use stays in use; and so it does where more would
        be lost than a file should lose, unless that is among `losing`.
        """
        async with self._reading:
            with collector_at_rest():
                report = await self._reload(losing)
        for line in report.problems:
            _log.error("Facts not taken over: %s", line)
        self._on_report(report)
        return report

    async def _reload(self, losing: Collection[str]) -> FactsReport:
        digests = {name: each.digest for name, each in self.current.directory.tenants.items()}
        in_use = InUse(self.current.catalogue.version, digests)
        try:
            found = await self._quiet.read(in_use)
        except ReadingBroke as error:
            return FactsReport(problems=(str(error),))
        if found.failed is None:
            refused = self._refused(found, losing)
            return FactsReport(problems=refused) if refused else await self._take_over_all(found)
        lines = tuple(str(problem) for problem in found.failed.problems)
        more = found.failed.more
        return FactsReport(problems=(*lines, f"... and {more} more") if more else lines)

    def _refused(self, found: Differences, losing: Collection[str]) -> tuple[str, ...]:
        most, now = self._folders.most_lost_percent, self.current
        found_losses = losses(
            now.catalogue, now.directory.tenants, found, with_tenants=self.archived is None
        )
        return tuple(
            each.refused(most)
            for each in found_losses
            if each.is_too_much(most) and each.name not in losing
        )

    async def _take_over_all(self, found: Differences) -> FactsReport:
        _warn(found.warnings)
        if found.catalogue is None or self.archived is None:
            return await self._take_over(found)
        try:
            tables = read_tables(self._folders.catalogue, found.catalogue)
        except InvalidFacts as error:
            # They were sound a moment ago, so somebody is writing: the next look sees the rest.
            return FactsReport(problems=tuple(str(error).split("\n")))
        report = await self._take_over(found)
        await self.archived.rebuild(tables)
        return report

    async def _take_over(self, found: Differences) -> FactsReport:
        directory = self.current.directory
        discarded: list[Catalogue | Tenant] = []
        if found.catalogue is not None:
            discarded.append(self.current.catalogue)
            self._current = Snapshot(found.catalogue, directory)
        behind: tuple[str, ...] = ()
        for start in range(0, len(found.tenants), TENANTS_AT_ONCE):
            piece = found.tenants[start : start + TENANTS_AT_ONCE]
            taken = await asyncio.gather(*(self._replace(each, discarded) for each in piece))
            behind += tuple(
                each.tenant_id for each, done in zip(piece, taken, strict=True) if not done
            )
        removed: tuple[str, ...] = ()
        if self.archived is None:
            removed = tuple(sorted(directory.tenants.keys() - found.tenant_ids))
        for tenant_id in removed:
            discarded.append(directory.tenants[tenant_id])
            directory.drop(tenant_id)
        report = FactsReport(
            catalogue_changed=found.catalogue is not None,
            changed=tuple(each.tenant_id for each in found.tenants if each.tenant_id not in behind),
            removed=removed,
            behind=behind,
        )
        found.tenants.clear()
        gc.freeze()
        await let_go(discarded)
        return report

    # --- Tenants of the archive --------------------------------------------------------------

    async def replace(self, tenant: Tenant) -> bool:
        """Announce a tenant and take it into use; False where it could not be announced."""
        discarded: list[Catalogue | Tenant] = []
        taken = await self._replace(tenant, discarded)
        await let_go(discarded)
        return taken

    def expect(self, tenant: Tenant) -> None:
        """Have a tenant at hand that will be announced, by us or by another process."""
        self._coming[tenant.tenant_id] = tenant

    def borrow(self, tenant: Tenant) -> None:
        """Take a tenant into use without announcing it: the ledger may know it already, or not."""
        self.current.directory.put(tenant)

    def all_read(self) -> None:
        """Note that a tenant that is not here by now does not exist."""
        self.current.directory.complete = True

    async def drop(self, tenant_id: str) -> None:
        """Forget a tenant."""
        tenants = [self.current.directory.tenants.get(tenant_id)]
        tenants += [table.pop(tenant_id, None) for table in (self._former, self._coming)]
        self.current.directory.drop(tenant_id)
        await let_go([tenant for tenant in tenants if tenant is not None])

    # --- Files --------------------------------------------------------------------------------

    async def _replace(self, tenant: Tenant, discarded: list[Catalogue | Tenant]) -> bool:
        tenant_id, directory = tenant.tenant_id, self.current.directory
        self._coming[tenant_id] = tenant
        if not await self._announce(tenant):
            # The account may know the new digest all the same, so these facts stay at hand.
            return False
        self._coming.pop(tenant_id, None)
        replaced = directory.tenants.get(tenant_id)
        directory.put(tenant)
        if replaced is not None:
            former = self._former.get(tenant_id)
            self._former[tenant_id] = replaced
            discarded.extend([former] if former is not None else [])
        return True

    async def _watch(self) -> None:
        is_behind = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._requested.wait()
            if self._requested.is_set() or is_behind or await self._quiet.has_changed():
                self._requested.clear()
                is_behind = bool((await self.reload()).behind)
