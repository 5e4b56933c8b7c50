"""A database that is away, locked, wrong or newer than the engine."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from archives import Journal, Postgresql
from server.archive import Archive, Position
from server.storage.sql.database import Database, archive_url
from server.storage.sql.errors import ArchiveUnavailable, ArchiveUnusable


async def test_a_postgresql_that_was_away_is_used_again_without_a_restart(
    postgresql: Postgresql,
) -> None:
    archive = Archive(Database(postgresql.url))
    await archive.migrate()
    before = await archive.positions()

    postgresql.stop()
    try:
        with pytest.raises(ArchiveUnavailable):
            await archive.positions()
    finally:
        postgresql.start()

    assert await archive.positions() == before
    await archive.close()


async def test_a_database_somebody_holds_is_unavailable_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.storage.sql.database.LOCK_SECONDS", 0.1)
    archive = Archive(Database(f"sqlite:///{tmp_path}/archive.sqlite"))
    await archive.migrate()
    holder = sqlite3.connect(tmp_path / "archive.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(ArchiveUnavailable):
        await archive.append(17, None, Journal().opened(), epoch=1)
    assert await archive.positions() == {}, "readers do not wait"
    holder.execute("ROLLBACK")
    holder.close()

    position = await archive.append(17, None, Journal().opened(), epoch=1)
    assert position == Position(1, 1, "nonce1")
    await archive.close()


async def test_tables_of_a_newer_engine_are_left_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/archive.sqlite")
    archive = Archive(database)
    await archive.migrate()
    await database.write(
        lambda connection: connection.execute(
            text("UPDATE alembic_version SET version_num = '9999'")
        )
    )

    with pytest.raises(ArchiveUnusable, match="newer"):
        await archive.migrate()

    await archive.close()


@pytest.mark.parametrize("url", ["mysql://host/base", "no url at all"])
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ArchiveUnusable):
        Database(url)


def test_without_a_url_the_archive_is_a_file_of_the_data_folder() -> None:
    assert archive_url("", Path("/data")) == "sqlite:////data/archive.sqlite"
    assert archive_url("postgresql://base", Path("/data")) == "postgresql://base"


def test_a_password_is_not_shown() -> None:
    database = Database("postgresql://callgate:hidden@base/archive")

    assert "hidden" not in database.url
