"""Every test of the archive runs on SQLite, and on PostgreSQL where it is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Table, select

from archive_fixtures import archive_url, blank_archive_url, postgresql
from archives import Rows
from server.archive import Archive
from server.storage.sql.database import Database

__all__ = ["archive_url", "blank_archive_url", "postgresql"]


@pytest.fixture
async def database(archive_url: str) -> AsyncIterator[Database]:
    opened = Database(archive_url)
    yield opened
    await opened.close()


@pytest.fixture
async def archive(database: Database) -> Archive:
    opened = Archive(database)
    await opened.migrate()
    return opened


@pytest.fixture
def rows(database: Database) -> Rows:
    """Read all rows of a table, as they are."""

    async def read(table: Table) -> list[dict[str, Any]]:
        return await database.read(
            lambda connection: [
                dict(row)
                for row in connection.execute(
                    select(table).order_by(*table.primary_key.columns)
                ).mappings()
            ]
        )

    return read
