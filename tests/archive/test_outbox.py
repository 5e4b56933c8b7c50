"""What goes into the outbox: exactly with what made it true, and once a crossing."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import Connection

from archives import TIME_MS, Rows
from server.archive import Archive
from server.notices import outbox
from server.notices.outbox import Notice, NoticeKind
from server.notices.tables import NOTICES
from server.storage.sql.database import Database

FAILED = Notice(
    NoticeKind.RECHARGE_FAILED, "contoso", "charge-1", TIME_MS, {"reason": "card_declined"}
)


class Crash(Exception):
    """What made the notice true fails after all."""


async def test_a_crossing_is_told_once(archive: Archive, database: Database, rows: Rows) -> None:
    first = await database.write(lambda connection: outbox.add(connection, FAILED))
    again = await database.write(lambda connection: outbox.add(connection, FAILED))

    assert (first, again) == (True, False)
    (row,) = await rows(NOTICES)
    assert (row["kind"], row["state"]) == ("recharge_failed", "new")
    assert row["facts"] == '{"reason":"card_declined"}'


async def test_other_crossings_kinds_and_tenants_are_told_for_themselves(
    archive: Archive, database: Database, rows: Rows
) -> None:
    notices = [
        FAILED,
        Notice(NoticeKind.RECHARGE_FAILED, "contoso", "charge-2", TIME_MS),
        Notice(NoticeKind.RECHARGE_SUCCEEDED, "contoso", "charge-1", TIME_MS),
        Notice(NoticeKind.RECHARGE_FAILED, "fabrikam", "charge-1", TIME_MS),
    ]

    for notice in notices:
        assert await database.write(partial(outbox.add, notice=notice))

    assert len({row["notice_id"] for row in await rows(NOTICES)}) == len(notices)


async def test_what_did_not_come_true_is_not_told(
    archive: Archive, database: Database, rows: Rows
) -> None:
    def work(connection: Connection) -> None:
        outbox.add(connection, FAILED)
        raise Crash

    with pytest.raises(Crash):
        await database.write(work)

    assert await rows(NOTICES) == []


async def test_an_event_of_others_is_taken_once(archive: Archive, database: Database) -> None:
    async def note(source: str, event_id: str) -> bool:
        return await database.write(
            lambda connection: outbox.note_event(connection, source, event_id, now_ms=TIME_MS)
        )

    taken = [await note("billing", "event-1"), await note("billing", "event-1")]

    assert taken == [True, False]
    assert await note("stripe", "event-1")
    assert await note("billing", "event-2")
