"""An archive of each kind, a spool beside it, and what carries the one into the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archive_fixtures import archive_url, postgresql
from facts import NOW_MS
from server.storage.sql.database import Database
from server.usage.decisions.carrying import Carrying, CarryingFigures

__all__ = ["archive_url", "postgresql"]


@pytest.fixture
async def database(archive_url: str) -> AsyncIterator[Database]:
    opened = Database(archive_url)
    yield opened
    await opened.close()


@pytest.fixture
def carrying(database: Database, tmp_path: Path) -> Carrying:
    def now_ms() -> int:
        return NOW_MS

    return Carrying(tmp_path / "decisions", database, now_ms, 30, CarryingFigures(now_ms))
