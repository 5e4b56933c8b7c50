"""The process that imports one file, so that neither parsing nor checking holds the loop.

Started as `python -m server.facts.directory.import_process`. Its input is one line of JSON, the
work, then the file; its output one line of JSON for each thing to tell, the last of which is how it
ended.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from server.facts.catalogue import read_catalogue
from server.facts.directory.differences import Action, Differences
from server.facts.directory.import_file import Imported, ImportedTenant, read_imported_users
from server.facts.directory.import_rows import Import
from server.facts.directory.importing import Importer, Stage, TenantChanged
from server.facts.files.problems import InvalidFacts, Problems
from server.facts.files.telling import NICENESS, Invalid, Problem, Progressed, Stopped, tell
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable


class Work(msgspec.Struct, frozen=True):
    """What to do with the file. `touched` are the tenants that who asks may touch, None for all."""

    import_id: str
    archive_url: str
    catalogue_folder: str
    tenant_id: str
    toml: bool
    dry_run: bool
    remove_missing: bool
    file_name: str
    who: str
    now_ms: int
    touched: list[str] | None


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """Something that changes."""

    action: Action
    resource: str
    fields: tuple[str, ...]
    losses: tuple[str, ...]


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """All went well."""

    tenant_id: str
    created: int
    updated: int
    deleted: int
    unchanged: int
    losing: int


Message = Progressed | Problem | Changed | Finished | Invalid | Stopped


class _Forbidden(Exception):
    """The tenant of the file is not theirs who asked."""


async def run(work: Work, content: bytes) -> None:
    """Import, and tell how it went."""
    database = Database(work.archive_url)
    try:
        found, tenant_id = await _import(work, content, database)
    except InvalidFacts as error:
        for each in error.problems:
            tell(Problem(each.line, each.field, each.text))
        tell(Invalid(str(error.problems[0]), len(error.problems) + error.more))
    except _Forbidden:
        tell(Stopped("forbidden"))
    except TenantChanged:
        tell(Stopped("changed"))
    except ArchiveUnavailable as error:
        tell(Stopped(str(error)))
    else:
        _tell_differences(found, tenant_id)
    finally:
        await database.close()


async def _import(work: Work, content: bytes, database: Database) -> tuple[Differences, str]:
    tell(Progressed(Stage.READING, 0, 0))
    problems = Problems()
    catalogue = read_catalogue(Path(work.catalogue_folder), problems)
    problems.raise_if_any()
    imported = _read(work, content)
    if work.touched is not None and imported.tenant_id not in work.touched:
        raise _Forbidden
    one = Import(work.import_id, imported.tenant_id, work.who, work.now_ms)

    def progress(stage: Stage, done: int, total: int) -> None:
        tell(Progressed(stage, done, total))

    importer = Importer(database, catalogue, progress)
    return await importer.run(imported, one, dry_run=work.dry_run), imported.tenant_id


def _read(work: Work, content: bytes) -> Imported:
    """Read the file as far as it tells by itself. Raises `InvalidFacts`."""
    problems, path = Problems(), Path(work.file_name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(path, 0, "", f"is not UTF-8 at byte {error.start}; save it as UTF-8")
        problems.raise_if_any()
        raise
    if not work.toml:
        return read_imported_users(path, text, work.tenant_id, remove_missing=work.remove_missing)
    tenant_id = _id_in(text) or work.tenant_id
    if work.tenant_id not in {"", tenant_id}:
        problems.add(path, 0, "id", f"is {tenant_id!r}, not {work.tenant_id!r} as was asked for")
        problems.raise_if_any()
    return ImportedTenant(tenant_id, path, text)


def _id_in(text: str) -> str:
    """Find whose file it is; what else is wrong with it is told when it is read as a whole."""
    head = text.split("\n[", 1)[0]
    try:
        found: Any = tomllib.loads(head).get("id")
    except tomllib.TOMLDecodeError:
        return ""
    return found if isinstance(found, str) else ""


def _tell_differences(found: Differences, tenant_id: str) -> None:
    for each in found.told():
        tell(Changed(each.action, each.resource, each.fields, each.losses))
    counts = found.counts
    tell(
        Finished(
            tenant_id=tenant_id,
            created=counts[Action.CREATE],
            updated=counts[Action.UPDATE],
            deleted=counts[Action.DELETE],
            unchanged=found.unchanged,
            losing=found.losing_count,
        )
    )


def main() -> None:
    """Read the work and the file, import."""
    os.nice(NICENESS)
    # Nothing is garbage until this process ends, so there is nothing to collect.
    gc.disable()
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    asyncio.run(run(work, sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
