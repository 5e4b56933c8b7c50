"""Entries are archived exactly once, whoever tells them and however often."""

from __future__ import annotations

import asyncio

import pytest

from archives import Journal, Rows, a_change, a_lot
from server.archive import Archive, EntryUnfit, Position, PositionMoved
from server.archive.tables import ACCOUNTS, JOURNAL, LOTS, PARTITIONS
from server.storage.sql.database import Database


async def test_entries_and_the_place_they_end_at_are_written_together(
    archive: Archive, rows: Rows
) -> None:
    entries = Journal().opened(funded=6_000)

    position = await archive.append(17, None, entries, epoch=1)

    assert position == Position(1, 2, "nonce2")
    assert await archive.positions() == {17: position}
    assert [row["kind"] for row in await rows(JOURNAL)] == ["opened", "topped_up"]
    (account,) = await rows(ACCOUNTS)
    assert (account["funded_micros"], account["has_balance"]) == (6_000, True)


async def test_entries_told_twice_are_refused_the_second_time(archive: Archive, rows: Rows) -> None:
    entries = Journal().opened(funded=6_000)
    await archive.append(17, None, entries, epoch=1)

    with pytest.raises(PositionMoved) as moved:
        await archive.append(17, None, entries, epoch=1)

    assert moved.value.position == Position(1, 2, "nonce2")
    assert len(await rows(JOURNAL)) == 2
    assert [row["left_micros"] for row in await rows(LOTS)] == [6_000]


async def test_of_many_who_archive_the_same_entries_at_once_one_does(
    archive: Archive, archive_url: str, rows: Rows
) -> None:
    journal = Journal()
    start = await archive.append(17, None, journal.opened(funded=6_000), epoch=1)
    entries = [journal.add("settled", a_change((0, 60, 100), lots=(("lot-1", 100),)))]
    others = [Archive(Database(archive_url)) for _ in range(4)]

    outcomes = await asyncio.gather(
        *(other.append(17, start, entries, epoch=1) for other in others), return_exceptions=True
    )

    assert sum(isinstance(outcome, Position) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PositionMoved) for outcome in outcomes) == 3
    assert [row["debited_micros"] for row in await rows(ACCOUNTS)] == [100]
    await asyncio.gather(*(other.close() for other in others))


async def test_of_many_who_begin_a_partition_at_once_one_does(
    archive: Archive, archive_url: str, rows: Rows
) -> None:
    entries = Journal().opened(funded=6_000)
    others = [Archive(Database(archive_url)) for _ in range(4)]

    outcomes = await asyncio.gather(
        *(other.append(17, None, entries, epoch=1) for other in others), return_exceptions=True
    )

    assert sum(isinstance(outcome, Position) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PositionMoved) for outcome in outcomes) == 3
    assert len(await rows(PARTITIONS)) == 1
    await asyncio.gather(*(other.close() for other in others))


async def test_an_entry_that_cannot_be_applied_leaves_nothing_behind(
    archive: Archive, rows: Rows
) -> None:
    journal = Journal()
    entries = [*journal.opened(), journal.add("topped_up", a_lot("lot-1", 5), tenant="nobody")]

    with pytest.raises(EntryUnfit):
        await archive.append(17, None, entries, epoch=1)

    assert await rows(JOURNAL) == []
    assert await archive.positions() == {}


async def test_who_writes_for_an_epoch_that_is_over_writes_nothing(
    archive: Archive, rows: Rows
) -> None:
    journal = Journal()
    old = await archive.append(17, None, journal.opened(), epoch=1)
    new = await archive.append(17, old, [], epoch=2)

    with pytest.raises(PositionMoved):
        await archive.append(17, old, [journal.add("topped_up", a_lot("lot-1", 5))], epoch=1)

    assert new == Position(2, 1, "nonce1")
    assert await rows(LOTS) == []


async def test_entries_are_known_again_by_their_nonces(archive: Archive) -> None:
    await archive.append(17, None, Journal().opened(funded=1), epoch=1)

    known = await archive.known_nonces(
        17, [("nonce1", "-"), ("nonce2", "nonce1"), ("nonce2", "other")]
    )

    assert known == {("nonce1", "-"), ("nonce2", "nonce1")}


async def test_tables_are_made_once_by_many_who_start_at_once(
    blank_archive_url: str,
) -> None:
    archives = [Archive(Database(blank_archive_url)) for _ in range(3)]

    await asyncio.gather(*(archive.migrate() for archive in archives))

    assert await archives[0].positions() == {}
    await asyncio.gather(*(archive.close() for archive in archives))
