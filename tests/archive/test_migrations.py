"""The migrations make exactly the tables that the engine works with."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from server.archive import Archive
from server.storage.sql.database import Database
from server.storage.sql.metadata import METADATA


async def test_nothing_is_missing_after_all_migrations_and_nothing_too_much(
    archive: Archive, database: Database
) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))

    assert await archive.positions() == {}
    assert await database.read(differences) == []


async def test_a_second_start_changes_nothing(archive: Archive) -> None:
    await archive.migrate()

    assert await archive.positions() == {}
