"""Fixtures of those who need an archive: a new database of each kind, with its tables or without.

The migrations are played once for each kind; what a test gets is a copy of what they made.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import Postgresql, postgresql_folder, running_postgresql
from run_hooks import NO_POSTGRESQL
from server.storage.sql.database import Database

KINDS = ["sqlite", "postgresql"]
_MIGRATED = "migrated"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """One PostgreSQL for all; skips where it is not installed."""
    programs = postgresql_folder()
    if programs is None:
        pytest.skip(NO_POSTGRESQL)
    with running_postgresql(programs) as server:
        asyncio.run(_migrate(server.create(_MIGRATED)))
        yield server


@pytest.fixture(params=KINDS)
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database of each kind that has all tables, and nobody's rows."""
    if request.param == "sqlite":
        (tmp_path / "archive.sqlite").write_bytes(_migrated_sqlite())
        return f"sqlite:///{tmp_path}/archive.sqlite"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.create("archive", like=_MIGRATED)


@pytest.fixture(params=KINDS)
def blank_archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database of each kind that has no tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.sqlite"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.create("archive")


@functools.cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        asyncio.run(_migrate(f"sqlite:///{folder}/archive.sqlite"))
        return Path(folder, "archive.sqlite").read_bytes()


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await database.migrate()
    finally:
        await database.close()
