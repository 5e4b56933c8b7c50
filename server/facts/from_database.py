"""Tenants kept in the archive: what changed there is read a page at a time and built in slices.

Whoever knows the revision of a tenant needs only what changed since, so that one user of 100,000
costs one row. Every process reads for itself; none decides with what it built before the ledger
knows its digest.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from policy.facts import Tenant
from server.facts.catalogue import CatalogueFiles
from server.facts.directory import rows
from server.facts.directory.bodies import ItemKind
from server.facts.directory.rows import TenantRow
from server.facts.directory.tenant_builder import Built, TenantBuilder
from server.facts.files.problems import InvalidFacts
from server.facts.garbage import collector_at_rest
from server.facts.hot_copy import HotCopy, HotTenant
from server.storage.redis import StoreUnavailable
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable

PAGE_ROWS = 1_000
# Each about a millisecond of the loop.
ITEMS_PER_SLICE = 100
PAUSE_SECONDS = 0.001
# Tenants that are announced, and copied, at once.
TENANTS_AT_ONCE = 32
# More changes than this at once are announced a little later, when all processes have built them.
FEW_CHANGES = 2_000
# A digest that is not found is looked for again after this long at the earliest.
SEARCH_PAUSE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class InUse(Protocol):
    """What takes tenants into use."""

    async def replace(self, tenant: Tenant) -> bool:
        """Announce a tenant and take it into use; False where it could not be announced."""

    def expect(self, tenant: Tenant) -> None:
        """Have a tenant at hand that will be announced, by us or by another process."""

    def borrow(self, tenant: Tenant) -> None:
        """Take a tenant into use without announcing it: the ledger may know it already, or not."""

    def all_read(self) -> None:
        """Note that a tenant that is not here by now does not exist."""

    async def drop(self, tenant_id: str) -> None:
        """Forget a tenant."""


@dataclass(slots=True)
class _Known:
    """How far one tenant was read. `told` is whether the ledger knows of it."""

    built: Built
    told: bool = False
    # Announced by itself, a little later.
    later: asyncio.Task[None] | None = None


class ArchivedTenants:
    """Follows the directory in the archive. `on_problem` is told of each tenant left as it was."""

    def __init__(
        self,
        database: Database,
        *,
        poll_seconds: float,
        on_problem: Callable[[], None],
        hot: HotCopy | None = None,
    ) -> None:
        self._hot = hot
        self.database = database
        self._poll_seconds = poll_seconds
        self._on_problem = on_problem
        self._tables: CatalogueFiles | None = None
        self._known: dict[str, _Known] = {}
        # Tenants that could not be read or built.
        self.left: set[str] = set()
        # Tenants taken into use from the copy in the store.
        self._borrowed: set[str] = set()
        self._seen = 0
        self._reading = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._searched_at = -SEARCH_PAUSE_SECONDS
        self._in_use: InUse | None = None
        # Set once everything was read for the first time.
        self.complete = asyncio.Event()

    @property
    def tables(self) -> CatalogueFiles:
        """The catalogue that tenants are built and checked by."""
        assert self._tables is not None, "begin() comes first"
        return self._tables

    def begin(self, tables: CatalogueFiles, in_use: InUse) -> None:
        """Say by which catalogue tenants are built, and who takes them; nothing is read yet."""
        self._tables, self._in_use = tables, in_use

    async def rebuild(self, tables: CatalogueFiles) -> None:
        """Build all tenants anew, by another catalogue; later, where the archive is away."""
        async with self._reading:
            self._tables, self._seen = tables, 0
            self._known.clear()
        with suppress(ArchiveUnavailable):
            await self.catch_up()

    async def run(self) -> None:
        """Look for changes until cancelled."""
        borrowed = False
        while True:
            try:
                await self.database.migrate()
            except ArchiveUnavailable as error:
                _log.warning("Waiting for the archive with the directory: %s", error)
            else:
                break
            borrowed = borrowed or await self._borrow()
            await asyncio.sleep(self._poll_seconds)
        while True:
            with suppress(ArchiveUnavailable):
                await self.catch_up()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._wanted.wait()
            self._wanted.clear()

    async def _borrow(self) -> bool:
        """Take into use what the store has a copy of; say whether it could be read."""
        assert self._in_use is not None
        if self._hot is None:
            return False
        try:
            async for hot in self._hot.read(self._borrowed):
                self._borrowed.add(hot.tenant_id)
                with self._alone(hot.tenant_id):
                    self._in_use.borrow((await self._build(hot)).tenant)
        except StoreUnavailable:
            return False
        return True

    async def _build(self, hot: HotTenant) -> Built:
        builder = TenantBuilder(hot.tenant_id, hot.head, self.tables)
        for count, (kind, item_id, body) in enumerate(hot.items, 1):
            builder.take(ItemKind(kind), item_id, body)
            if count % ITEMS_PER_SLICE == 0:
                await asyncio.sleep(PAUSE_SECONDS)
        return builder.finish(hot.revision)

    async def _copy(self, row: TenantRow, builder: TenantBuilder, base: Built | None) -> None:
        """Copy what changed, unless another process has; or all of it, where that does not fit."""
        if self._hot is None:
            return
        copied = await self._hot.revision(row.tenant_id)
        if copied == row.revision:
            return
        if base is not None and copied == base.revision:
            hot = HotTenant(row.tenant_id, row.body, row.revision, builder.taken)
            await self._hot.write(hot, whole=False)
            return
        if base is not None:
            builder = TenantBuilder(row.tenant_id, row.body, self.tables)
            await self._read_items(builder, 0)
        hot = HotTenant(row.tenant_id, row.body, row.revision, builder.taken)
        await self._hot.write(hot, whole=True)

    def look_soon(self) -> None:
        """Look for changes without waiting for the next look."""
        self._wanted.set()

    async def stop(self) -> None:
        """Announce nothing more, and close the connections to the archive."""
        for known in self._known.values():
            if known.later is not None:
                known.later.cancel()
        await self.database.close()

    async def search(self, *, at_once: bool = False) -> bool:
        """Catch up because somebody wants what is not here; in vain not too often.

        Says whether all was read that is in the archive.
        """
        now = asyncio.get_running_loop().time()
        due = now - self._searched_at >= SEARCH_PAUSE_SECONDS
        if at_once or due or self._reading.locked():
            self._searched_at = now
            try:
                await self.catch_up()
            except ArchiveUnavailable:
                return False
            return True
        return False

    async def catch_up(self) -> None:
        """Take over all that is in the archive by now. Raises `ArchiveUnavailable`."""
        async with self._reading:
            revision, changed = await self.database.read(partial(_changes, since=self._seen))
            if revision != self._seen:
                with collector_at_rest():
                    if not self._seen:
                        await self._take_all(changed)
                        changed = await self.database.read(
                            partial(rows.tenants_since, revision=revision)
                        )
                    for row in changed:
                        with self._alone(row.tenant_id):
                            await self._take(row)
                self._seen = revision
                # What was built stays; the collector need not walk over it again and again.
                gc.freeze()
            await self._tell_again()
            if not self.complete.is_set():
                assert self._in_use is not None
                self._in_use.all_read()
                self.complete.set()

    async def _take_all(self, tenants: list[TenantRow]) -> None:
        """Read everything at once, where nothing is known yet: tenants may be many."""
        builders: dict[str, TenantBuilder] = {}
        for row in tenants:
            with self._alone(row.tenant_id):
                if not row.deleted:
                    builders[row.tenant_id] = TenantBuilder(row.tenant_id, row.body, self.tables)
        await self._fill(builders)
        since = max((row.revision for row in tenants), default=0)
        later = await self.database.read(partial(rows.tenants_since, revision=since))
        changed = {row.tenant_id for row in later}
        # What changed while it was read is read by itself.
        ready = [row for row in tenants if row.tenant_id in builders.keys() - changed]
        for start in range(0, len(ready), TENANTS_AT_ONCE):
            await asyncio.gather(
                *(
                    self._finish(row, builders.pop(row.tenant_id), base=None)
                    for row in ready[start : start + TENANTS_AT_ONCE]
                )
            )

    async def _fill(self, builders: dict[str, TenantBuilder]) -> None:
        """Read every item there is; builders that break are taken out."""
        after = ("", "", "")
        while True:
            page = await self.database.read(partial(rows.every_item, after=after, limit=PAGE_ROWS))
            for count, item in enumerate(page, 1):
                builder = builders.pop(item.tenant_id, None)
                if builder is not None:
                    with self._alone(item.tenant_id):
                        builder.take(ItemKind(item.kind), item.item_id, item.body)
                        builders[item.tenant_id] = builder
                if count % ITEMS_PER_SLICE == 0:
                    await asyncio.sleep(PAUSE_SECONDS)
            if len(page) < PAGE_ROWS:
                return
            after = (page[-1].tenant_id, page[-1].kind, page[-1].item_id)

    async def _take(self, row: TenantRow) -> None:
        assert self._in_use is not None
        known = self._known.get(row.tenant_id)
        if row.deleted:
            self._known.pop(row.tenant_id, None)
            self.left.discard(row.tenant_id)
            await self._in_use.drop(row.tenant_id)
            if self._hot is not None:
                await self._hot.drop(row.tenant_id)
            return
        base = known.built if known and known.built.revision >= row.begin_revision else None
        if base is not None and base.revision >= row.revision:
            return
        builder = TenantBuilder(row.tenant_id, row.body, self.tables, base=base)
        await self._finish(await self._read(row, builder, base), builder, base=base)

    async def _finish(self, row: TenantRow, builder: TenantBuilder, *, base: Built | None) -> None:
        """Announce a tenant that was read and take it into use, at once or a little later."""
        with self._alone(row.tenant_id):
            await self._take_into_use(row, builder, builder.finish(row.revision), base=base)

    async def _take_into_use(
        self, row: TenantRow, builder: TenantBuilder, built: Built, *, base: Built | None
    ) -> None:
        assert self._in_use is not None
        self.left.discard(row.tenant_id)
        known = self._known.get(row.tenant_id)
        if known is not None and known.later is not None:
            known.later.cancel()
        taken = self._known[row.tenant_id] = _Known(built)
        if base is not None and len(builder.taken) > FEW_CHANGES:
            self._in_use.expect(built.tenant)
            took = time.monotonic() - builder.begun_at
            taken.later = asyncio.create_task(self._tell_later(taken, took + self._poll_seconds))
        else:
            taken.told = await self._in_use.replace(built.tenant)
        await self._copy(row, builder, base)

    @contextmanager
    def _alone(self, tenant_id: str) -> Iterator[None]:
        """Leave a tenant as it was where it cannot be read or built; others go on."""
        try:
            yield
        except ArchiveUnavailable:
            raise
        except InvalidFacts as error:
            self.left.add(tenant_id)
            self._on_problem()
            _log.error("Tenant %s was left as it was: %s", tenant_id, error)
        except Exception:  # noqa: BLE001 -- It is told, and others go on.
            self.left.add(tenant_id)
            self._on_problem()
            _log.exception("Tenant %s was left as it was: it broke its reading.", tenant_id)

    async def _read(self, row: TenantRow, builder: TenantBuilder, base: Built | None) -> TenantRow:
        """Read a tenant as it stands in the archive, pausing after each slice; say as of when."""
        since = base.revision if base else 0
        while True:
            await self._read_items(builder, since)
            now = await self.database.read(partial(rows.find_tenant, tenant_id=row.tenant_id))
            if now is None or now.revision == row.revision:
                return row
            # Something changed while it was read; what was read of that already comes again.
            since, row = row.revision, now
            builder.take_head(now.body)

    async def _read_items(self, builder: TenantBuilder, since: int) -> None:
        after = ("", "")
        while True:
            page = await self.database.read(
                partial(
                    rows.items_since,
                    tenant_id=builder.tenant_id,
                    revision=since,
                    after=after,
                    limit=PAGE_ROWS,
                )
            )
            for count, item in enumerate(page, 1):
                builder.take(ItemKind(item.kind), item.item_id, item.body)
                if count % ITEMS_PER_SLICE == 0:
                    await asyncio.sleep(PAUSE_SECONDS)
            if len(page) < PAGE_ROWS:
                return
            after = (page[-1].kind, page[-1].item_id)

    async def _tell_later(self, known: _Known, seconds: float) -> None:
        assert self._in_use is not None
        await asyncio.sleep(seconds)
        known.later = None
        known.told = await self._in_use.replace(known.built.tenant)

    async def _tell_again(self) -> None:
        """Announce what could not be announced."""
        assert self._in_use is not None
        untold = [one for one in self._known.values() if not one.told and one.later is None]
        for start in range(0, len(untold), TENANTS_AT_ONCE):
            piece = untold[start : start + TENANTS_AT_ONCE]
            told = await asyncio.gather(*(self._in_use.replace(one.built.tenant) for one in piece))
            for known, is_told in zip(piece, told, strict=True):
                known.told = is_told


def _changes(connection: Connection, since: int) -> tuple[int, list[TenantRow]]:
    revision = rows.newest_revision(connection)
    changed = rows.tenants_since(connection, since) if revision != since else []
    return revision, changed
