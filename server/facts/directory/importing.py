"""Importing a file: checked as a whole, compared, laid aside, taken over in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection

from server.facts.catalogue import CatalogueFiles
from server.facts.directory import import_rows as imports
from server.facts.directory import rows
from server.facts.directory.bodies import ItemKind, head_body, item_rows
from server.facts.directory.differences import Action, Differences, find_differences
from server.facts.directory.import_file import Imported, Old, read_old
from server.facts.directory.import_rows import Import
from server.facts.directory.rows import ItemRow, TenantRow
from server.facts.directory.tenant import build_tenant
from server.facts.directory.tenant_file import TenantFile
from server.facts.files.problems import Problems
from server.storage.sql.audit import Audited, AuditTrail
from server.storage.sql.database import Database

# Where somebody else changes the tenant meanwhile, it is compared again so often.
ATTEMPTS = 3
STAGED_ROWS = 5_000


class Stage(StrEnum):
    """The stages of an import, in their order."""

    READING = "reading"
    CHECKING = "checking"
    COMPARING = "comparing"
    STAGING = "staging"
    APPLYING = "applying"


# Is told the stage, how much of it is done, and of how much.
Progress = Callable[[Stage, int, int], None]


class TenantChanged(Exception):
    """Somebody else kept changing the tenant."""


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports into one archive, checked by one catalogue."""

    database: Database
    catalogue: CatalogueFiles
    progress: Progress

    async def run(self, imported: Imported, one: Import, *, dry_run: bool) -> Differences:
        """Import a file that was read, all or nothing; or only say what would change.

        Raises `InvalidFacts` with every mistake, `TenantChanged` and `ArchiveUnavailable`.
        """
        for _ in range(ATTEMPTS):
            old = await self.database.read(lambda connection: read_old(connection, one.tenant_id))
            file = await self._check(imported, old)
            self.progress(Stage.COMPARING, 0, 0)
            found = find_differences(old.bodies, item_rows(file, one.tenant_id, 0))
            _compare_heads(found, old.row, head_body(file))
            if dry_run or await self._take_over(one, old.row, file, found=found):
                return found
        raise TenantChanged

    async def _check(self, imported: Imported, old: Old) -> TenantFile:
        """Check everything as the tenant would be. Raises `InvalidFacts`."""
        problems = Problems()
        file = imported.file_for(old, problems, lambda done: self._read(done, imported.count))
        self.progress(Stage.CHECKING, 0, len(file.users))
        build_tenant(file, self.catalogue)
        numbers = _check_own_numbers(file)
        holders = await self.database.read(
            lambda connection: rows.holders(connection, list(numbers))
        )
        for number, (tenant_id, _, _) in holders.items():
            if tenant_id != imported.tenant_id:
                kind, item_id = numbers[number]
                at = (kind.table, item_id) + (("number",) if kind is ItemKind.USER else ())
                file.note(at, f"{number} is somebody else's already; a number has one holder")
        problems.raise_if_any()
        self.progress(Stage.CHECKING, len(file.users), len(file.users))
        return file

    def _read(self, done: int, total: int) -> None:
        self.progress(Stage.READING, done, total)

    async def _take_over(
        self, one: Import, old: TenantRow | None, file: TenantFile, *, found: Differences
    ) -> bool:
        """Lay aside what changes, then take it over; False where the tenant is another by now."""
        await self.database.write(
            lambda connection: imports.clear_left_over(connection, one.now_ms)
        )
        for start in range(0, len(found.items), STAGED_ROWS):
            self.progress(Stage.STAGING, start, len(found.items))
            await self._stage(one, found.items[start : start + STAGED_ROWS])
        self.progress(Stage.APPLYING, 0, len(found.items))
        taken = await self.database.write(
            lambda connection: _apply(connection, one, old, file=file, found=found)
        )
        if not taken:
            await self.database.write(lambda connection: imports.clear(connection, one.import_id))
        self.progress(Stage.APPLYING, len(found.items), len(found.items))
        return taken

    async def _stage(self, one: Import, items: list[ItemRow]) -> None:
        await self.database.write(lambda connection: imports.stage(connection, one, items))


def _apply(
    connection: Connection,
    one: Import,
    old: TenantRow | None,
    *,
    file: TenantFile,
    found: Differences,
) -> bool:
    revision = rows.next_revision(connection)
    now = rows.find_tenant(connection, one.tenant_id)
    if (now.revision if now else None) != (old.revision if old else None):
        return False
    body = head_body(file)
    if not found.items and old is not None and old.body == body:
        return True
    if old is None:
        # Of a tenant of that id that was deleted nothing is left but its row.
        rows.drop_items(connection, one.tenant_id)
    imports.take_over(connection, one, revision)
    imports.set_licences(connection, one.tenant_id, file.assigned())
    rows.put_tenant(connection, _tenant_row(one, old, body, revision=revision))
    what = Audited("ImportDirectory", f"tenants/{one.tenant_id}", one.tenant_id)
    counts = {f"{action.value}d": count for action, count in found.counts.items()}
    AuditTrail(lambda: one.now_ms).record(
        connection, one.who, what, before=None, after={"file": file.path.name, **counts}
    )
    return True


def _tenant_row(one: Import, old: TenantRow | None, body: str, *, revision: int) -> TenantRow:
    if old is None:
        return TenantRow(
            tenant_id=one.tenant_id,
            revision=revision,
            begin_revision=revision,
            body_revision=revision,
            create_ms=one.now_ms,
            update_ms=one.now_ms,
            deleted=False,
            body=body,
        )
    body_revision = old.body_revision if old.body == body else revision
    return replace(
        old, revision=revision, body_revision=body_revision, update_ms=one.now_ms, body=body
    )


def _compare_heads(found: Differences, old: TenantRow | None, body: str) -> None:
    if old is None:
        found.note_head(Action.CREATE, None, body)
    elif old.body != body:
        found.note_head(Action.UPDATE, old.body, body)
    else:
        found.unchanged += 1


def _check_own_numbers(file: TenantFile) -> dict[str, tuple[ItemKind, str]]:
    """Say who has which number; note one that has two holders."""
    holders: dict[str, tuple[ItemKind, str]] = {
        number: (ItemKind.SERVICE_NUMBER, number) for number in file.service_numbers
    }
    for user_id, section in file.users.items():
        if section.number and section.number in holders:
            kind, other = holders[section.number]
            text = f"{section.number} is already that of {kind.table}.{other}"
            file.note(("users", user_id, "number"), f"{text}; a number has one holder")
        elif section.number:
            holders[section.number] = (ItemKind.USER, user_id)
    return holders
