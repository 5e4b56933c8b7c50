"""Every test of the directory runs on SQLite, and on PostgreSQL where it is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archive_fixtures import archive_url, postgresql
from directories import ArchivedDirectory, a_tenant_message, catalogue_in
from server.storage.sql.database import Database

__all__ = ["archive_url", "postgresql"]


@pytest.fixture
async def empty(archive_url: str, tmp_path: Path) -> AsyncIterator[ArchivedDirectory]:
    database = Database(archive_url)
    await database.migrate()
    yield ArchivedDirectory(database, catalogue_in(tmp_path))
    await database.close()


@pytest.fixture
async def directory(empty: ArchivedDirectory) -> ArchivedDirectory:
    """A directory that holds contoso, post-paid, without users."""
    await empty.create_tenant(a_tenant_message())
    return empty
