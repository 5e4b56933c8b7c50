"""The process that plays a tenant's usage with another file of it, apart from those that answer.

Started as `python -m server.usage.back_test_process`. Its input is one line of JSON, the work, then
the file; its output one line of JSON for each thing to tell, the last of which is how it ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from policy.facts import Catalogue, Tenant
from server.facts.catalogue import read_catalogue
from server.facts.directory import read_directory
from server.facts.files.problems import InvalidFacts, Problems
from server.facts.files.telling import NICENESS, Invalid, Problem, Progressed, Stopped, tell
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.usage.reading import Span
from server.usage.working import Cost, bound_memory, play


class Work(msgspec.Struct, frozen=True):
    """What to play; the file is one tenant as TOML."""

    archive_url: str
    catalogue_folder: str
    file_name: str
    tenant_id: str
    span: Span


Message = Progressed | Problem | Invalid | Stopped | Cost


async def run(work: Work, content: bytes) -> None:
    """Play, and tell what came of it."""
    database = Database(work.archive_url)
    try:
        tell(Progressed("reading", 0, 0))
        catalogue, tenants = _read(work, content)
        tell(await play(database, work.span, catalogue, tenants=tenants))
    except InvalidFacts as error:
        for each in error.problems:
            tell(Problem(each.line, each.field, each.text))
        tell(Invalid(str(error.problems[0]), len(error.problems) + error.more))
    except ArchiveUnavailable as error:
        tell(Stopped(str(error)))
    finally:
        await database.close()


def _read(work: Work, content: bytes) -> tuple[Catalogue, dict[str, Tenant]]:
    """Read the catalogue and the file. Raises `InvalidFacts`."""
    problems = Problems()
    files = read_catalogue(Path(work.catalogue_folder), problems)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tenant.toml"
        path.write_bytes(content)
        tenants = read_directory(Path(folder), files, problems).tenants
    if set(tenants) - {work.tenant_id}:
        problems.add(path, 0, "id", f"is {min(tenants)!r}; it is {work.tenant_id} that is played")
    problems.raise_if_any()
    return files.catalogue, tenants


def main() -> None:
    """Read the work and the file, play."""
    os.nice(NICENESS)
    bound_memory()
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    asyncio.run(run(work, sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
