"""While the archive is away calls go on, for as long as journals can keep what they do."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from keepers import JOURNAL_MAX_ENTRIES, PARTITION, House, fresh_archive, sqlite_url
from ledgers import by_the_second
from server.archive.keeper.figures import Figures
from server.ledger.headroom import JournalFill
from server.storage.redis import Store
from stores import empty


async def test_calls_go_on_while_the_archive_is_away_and_are_archived_when_it_is_back(
    valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.storage.sql.database.LOCK_SECONDS", 0.05)
    store = Store(valkey)
    await empty(store)
    house = House(store, await fresh_archive(sqlite_url(tmp_path)))
    await house.open()
    keeper = house.keeper()
    await keeper.drain()
    holder = sqlite3.connect(tmp_path / "archive.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)
    house.clock.pass_seconds(3)
    await keeper.drain()
    assert keeper.figures.lag_seconds(house.clock.now_ms()) == 3.0
    assert "ALARM lag" in caplog.text
    assert keeper.figures.waiting[PARTITION] == 2

    holder.execute("ROLLBACK")
    holder.close()
    with caplog.at_level(logging.INFO):
        await keeper.drain()

    assert keeper.figures.lag_seconds(house.clock.now_ms()) == 0
    assert "The alarm lag is over" in caplog.text
    assert (await house.image()).account.debited_micros == 10
    await house.archive.close()
    await store.close()


async def test_a_full_journal_takes_no_more_calls_until_it_is_drained(house: House) -> None:
    await house.open()
    fill = JournalFill(house.journal, lambda: [PARTITION], most_entries=5)
    await fill.look()
    assert not fill.is_full("contoso")

    for number in range(4):
        await house.reserve(f"call-{number}", 1, by_the_second())
    await fill.look()
    assert fill.is_full("contoso")
    assert not fill.is_full("somebody-in-another-partition")

    keeper = house.keeper()
    await keeper.drain()
    await fill.look()
    assert not fill.is_full("contoso")


def test_a_journal_that_fills_raises_the_alarm_at_four_fifths(
    caplog: pytest.LogCaptureFixture,
) -> None:
    figures = Figures(JOURNAL_MAX_ENTRIES)

    figures.note_waiting(PARTITION, 799, 0)
    figures.look(0)
    assert "ALARM" not in caplog.text
    figures.note_waiting(PARTITION, 800, 0)
    figures.look(0)

    assert caplog.text.count("ALARM fill: A journal is 80 % full.") == 1


async def test_nothing_is_trimmed_that_is_not_archived(house: House) -> None:
    await house.open()
    for number in range(10):
        await house.reserve(f"call-{number}", 1, by_the_second())
    waiting = await house.journal.length(PARTITION)

    position = (await house.archive.positions())[PARTITION]
    keeper = house.keeper()
    trimmed = await keeper.parts.keeping.trim(
        PARTITION, epoch=position.epoch, n=position.n + 5, nonce=position.nonce
    )

    assert not trimmed
    assert await house.journal.length(PARTITION) == waiting
