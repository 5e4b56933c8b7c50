"""The migrations make exactly the tables that the engine works with."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

import server
from couriers import sqlite_file
from server.archive import Archive
from server.storage.sql.database import Database
from server.storage.sql.metadata import METADATA

SERVER = Path(server.__file__).parent


def all_tables() -> MetaData:
    """Have every room add its tables, whichever the test needs besides."""
    for path in SERVER.rglob("*.py"):
        if "METADATA" in path.read_text(encoding="utf-8") and "migrations" not in path.parts:
            import_module(".".join(("server", *path.relative_to(SERVER).with_suffix("").parts)))
    return METADATA


async def test_nothing_is_missing_after_all_migrations_and_nothing_too_much(
    archive: Archive, database: Database
) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, all_tables()))

    assert await archive.positions() == {}
    assert await database.read(differences) == []


async def test_a_second_start_changes_nothing_and_does_not_wait_for_what_would(
    archive: Archive, tmp_path: Path
) -> None:
    url = sqlite_file(tmp_path)
    await Database(url).migrate()
    program = (
        "import asyncio, sys; from server.storage.sql.database import Database\n"
        f"asyncio.run(Database({url!r}).migrate()); print('alembic' in sys.modules)"
    )

    again = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await again.communicate()
    await archive.migrate()

    assert printed == b"False\n"
    assert await archive.positions() == {}
