"""Fixtures of those who need an archive: an empty database of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from archives import Postgresql, postgresql_folder, running_postgresql
from server.archive import Database
from server.archive.tables import METADATA


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """One PostgreSQL for all; skips where it is not installed."""
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


async def _drop_all(url: str) -> None:
    database = Database(url)
    try:
        await database.write(METADATA.drop_all)
        await database.write(
            lambda connection: connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        )
    finally:
        await database.close()
