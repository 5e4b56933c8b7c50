"""Every test of the archive runs on SQLite, and on PostgreSQL where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select, text

from archives import Postgresql, Rows, postgresql_folder, running_postgresql
from server.archive import Archive, Database
from server.archive.tables import METADATA


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    programs = postgresql_folder()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgresql(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.sqlite"
    server: Postgresql = request.getfixturevalue("postgresql")
    asyncio.run(_drop_all(server.url))
    return server.url


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


async def _drop_all(url: str) -> None:
    database = Database(url)
    try:
        await database.write(METADATA.drop_all)
        await database.write(
            lambda connection: connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        )
    finally:
        await database.close()
