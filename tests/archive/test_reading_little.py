"""What is read to archive a batch does not grow with what was archived before it.

On SQLite, which says how it answers; PostgreSQL chooses by its statistics, of few rows otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from archives import TIME_MS, Journal, a_change, a_lot, pool_purse
from keepers import sought
from server.archive import Archive, CallState
from server.archive.changes import DirectDebit, Refund
from server.storage.sql.database import Database

GROWING = {
    *("accounts", "call_uses", "calls", "journal", "lots", "movements", "tallies"),
    "usage_records",
}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/archive.sqlite")
    yield opened
    await opened.close()


@contextmanager
def questions() -> Iterator[list[tuple[str, Any]]]:
    """Collect what databases are asked while the block lasts."""
    asked: list[tuple[str, Any]] = []

    def note(
        _connection: Any, _cursor: Any, text: str, values: Any, _context: Any, many: bool
    ) -> None:
        if text.startswith("SELECT") and not many:
            asked.append((text, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def scanned(database: Database, asked: list[tuple[str, Any]]) -> set[str]:
    """Say which tables are read from end to end to answer."""

    def plans(connection: Connection) -> set[str]:
        steps = [
            row[3]
            for text, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        ]
        return {step.split()[1] for step in steps if step.startswith("SCAN ")}

    return await database.read(plans)


async def test_a_batch_of_every_kind_of_entry_scans_no_table_that_grows(
    archive: Archive, database: Database
) -> None:
    journal = Journal()
    place = await archive.append(17, None, journal.opened(funded=6_000), epoch=1)
    batch = [
        journal.add("settled", a_change((0, 60, 100), lots=(("lot-1", 100),))),
        journal.add("settled", a_change((0, 60, 0), opened_id="other", purses=(pool_purse(),))),
        journal.add("debited", DirectDebit("debit-1", 50, (("lot-1", 50),))),
        journal.add("refunded", Refund("refund-1", 50, "lot-1", "lot-1", TIME_MS)),
        journal.add("topped_up", a_lot("lot-2", 500)),
    ]

    with questions() as asked:
        await archive.append(17, place, batch, epoch=1)

    assert {"calls", "call_uses", "lots", "movements", "tallies"} <= {
        text.split("FROM ")[1].split()[0] for text, _ in asked
    }
    assert not await scanned(database, asked) & GROWING


async def test_looking_for_one_call_scans_no_table_that_grows(
    archive: Archive, database: Database
) -> None:
    journal = Journal()
    entries = journal.opened(funded=6_000)
    expired = a_change((0, 60, 100), lots=(("lot-1", 100),), state=CallState.EXPIRED)
    await archive.append(17, None, [*entries, journal.add("expired", expired)], epoch=1)

    with questions() as asked:
        found = await archive.find_call(sought())

    assert found is not None
    assert not await scanned(database, asked) & GROWING
