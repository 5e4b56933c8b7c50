"""Decision records reach the archive once each, whatever ends in between, and leave it by days."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, text

from facts import NOW_MS
from server.calls.cached_record import time_text
from server.observability.spool import FILE_BYTES, Spool
from server.storage.sql.database import Database
from server.usage.decisions import carrying as module
from server.usage.decisions.carrying import Carrying
from server.usage.decisions.finding import FoundDecision, Place, Sought, find_decisions
from server.usage.decisions.tables import day_of, list_days, table_of

DAY_MS = 86_400_000
_ALL = Sought("contoso", 0, NOW_MS * 2)


def a_record(number: int = 1, time_ms: int = NOW_MS, **more: Any) -> bytes:
    said = {
        "verb": "authorize",
        "time": time_text(time_ms),
        "tenant_id": "contoso",
        "gateway_id": "sbc-1",
        "call_id": f"call-{number}",
        "sequence": 1,
        "account_ids": ["anna"],
        "far_number_hash": "f" * 16,
        "dialled_number_hash": "f" * 16,
        "calling_number_hash": "",
        "decision_id": f"{number:020x}",
        "outcome": "grant",
        "payer": "anna",
        "currency": "USD",
    }
    return json.dumps({**said, **more}).encode() + b"\n"


async def found(database: Database, sought: Sought = _ALL) -> list[FoundDecision]:
    return await database.read(lambda c: find_decisions(c, sought, after=None, limit=10_000))


def figures_of(carrying: Carrying) -> dict[str, float]:
    return {one.name: one.samples[0].value for one in carrying.figures.families()}


def spool_of(carrying: Carrying, most_bytes: int = 1 << 30) -> Spool:
    return Spool(carrying.folder, most_bytes)


async def test_a_record_is_found_while_its_file_is_still_written(
    carrying: Carrying, database: Database
) -> None:
    spool = spool_of(carrying)

    for number in range(3):
        spool.write(a_record(number))
        await carrying.work()
        assert len(await found(database)) == number + 1

    assert carrying.figures.carried == 3
    assert len(list(carrying.folder.iterdir())) == 1
    spool.close()
    await carrying.work()
    assert list(carrying.folder.iterdir()) == []
    assert len(await found(database)) == 3


async def test_a_keeper_that_begins_anew_or_works_beside_another_writes_nothing_twice(
    carrying: Carrying, database: Database
) -> None:
    spool = spool_of(carrying)
    spool.write(b"".join(map(a_record, range(7))))
    await carrying.work()
    spool.write(a_record(7))

    other = replace(carrying, _ends={})
    await other.work()
    await carrying.work()
    spool.close()
    await other.work()
    await carrying.work()

    assert {each.record["call_id"] for each in await found(database)} == {
        f"call-{number}" for number in range(8)
    }
    assert len(await found(database)) == 8


async def test_what_was_not_committed_is_carried_again(
    carrying: Carrying, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(carrying)
    spool.write(a_record(1, NOW_MS - 5_000))
    spool.close()

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_rows", fail)
        with pytest.raises(RuntimeError):
            await carrying.work()
    before = figures_of(carrying)
    await carrying.work()

    assert len(await found(database)) == 1
    assert before["callgate_decision_records_waiting_bytes"] > 0
    assert before["callgate_decision_records_lag_seconds"] == 5
    assert figures_of(carrying) == {
        "callgate_decision_records_carried": 1,
        "callgate_decision_records_lag_seconds": 0,
        "callgate_decision_records_unreadable": 0,
        "callgate_decision_records_waiting_bytes": 0,
    }


async def test_lines_that_are_no_records_are_counted_and_stop_nothing(
    carrying: Carrying, database: Database
) -> None:
    spool = spool_of(carrying)
    spool.write(b"not json\n" + a_record(1) + b'{"time": 3}\n' + a_record(2) + b'{"half')
    spool.close()

    await carrying.work()

    assert len(await found(database)) == 2
    assert carrying.figures.unreadable == 3
    assert list(carrying.folder.iterdir()) == []


async def test_what_nobody_checked_fits_the_columns(carrying: Carrying, database: Database) -> None:
    spool = spool_of(carrying)
    spool.write(a_record(1, call_id="x" * 500 + "\0", gateway_id="\0" * 200))
    spool.close()

    await carrying.work()

    (one,) = await found(database)
    assert one.record["call_id"] == "x" * 500 + "\0"


def test_a_full_spool_counts_what_it_does_not_keep_and_fails_nobody(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "decisions", most_bytes=FILE_BYTES)
    for _ in range(2):
        spool.write(b"x" * (FILE_BYTES - 1) + b"\n")

    spool.write(b"x\nx\n")

    assert spool.lost == 3
    assert len(list((tmp_path / "decisions").iterdir())) == 1


def test_a_folder_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "decisions").write_text("in the way")
    spool = Spool(tmp_path / "decisions", most_bytes=1 << 20)

    spool.write(b"x\n")

    assert spool.lost == 1


async def test_old_days_are_dropped_whole_and_what_comes_too_late_is_not_kept(
    carrying: Carrying, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.usage.decisions.tables._PIECE", 2)
    spool = spool_of(carrying)
    spool.write(b"".join(a_record(n, NOW_MS - n * 10 * DAY_MS) for n in range(5)))
    spool.write(b"".join(a_record(10 + n, NOW_MS - 20 * DAY_MS) for n in range(5)))
    spool.close()
    await carrying.work()
    kept = [day_of(NOW_MS - n * 10 * DAY_MS) for n in range(4)]
    assert await database.read(list_days) == kept

    await replace(carrying, days=15).drop_old()

    assert await database.read(list_days) == kept[:2]
    assert len(await found(database)) == 2
    await replace(carrying, days=0).drop_old()
    assert await found(database) == []


async def test_postgresql_is_partitioned_by_day(carrying: Carrying, database: Database) -> None:
    spool = spool_of(carrying)
    spool.write(a_record(1) + a_record(2, NOW_MS - DAY_MS))
    spool.close()
    await carrying.work()
    if not database.url.startswith("postgresql"):
        return

    partitions = await database.read(
        lambda c: c.scalar(
            text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'decisions'::regclass")
        )
    )
    in_all = await database.read(lambda c: c.scalar(text("SELECT count(*) FROM decisions")))

    assert (partitions, in_all) == (2, 2)


@pytest.mark.parametrize(
    ("sought", "index"),
    [
        ({}, "time"),
        ({"hashes": ("a",)}, "far dialled calling"),
        ({"accounts": ("a",)}, "account payer"),
        ({"call_id": "a"}, "call"),
        ({"decision_id": "a"}, "decision"),
        ({"reason": "a"}, "reason"),
    ],
    ids=str,
)
async def test_each_question_goes_by_an_index_of_its_own(
    carrying: Carrying, database: Database, sought: dict[str, Any], index: str
) -> None:
    if database.url.startswith("postgresql"):
        # It plans by statistics, and a table of one row is read whole.
        return
    spool = spool_of(carrying)
    spool.write(a_record())
    spool.close()
    await carrying.work()
    plans: list[str] = []

    def look(connection: Connection) -> None:
        def explain(_: object, cursor: Any, statement: str, values: Any, *__: object) -> None:
            if "FROM decisions_" in statement:
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                plans.extend(row[3] for row in cursor.fetchall())

        event.listen(connection, "before_cursor_execute", explain)
        find_decisions(connection, replace(_ALL, **sought), after=None, limit=10)

    await database.read(look)

    day = day_of(NOW_MS)
    used = [plan.split("USING INDEX ")[1].split()[0] for plan in plans if "USING INDEX" in plan]
    assert used == [f"ix_decisions_{name}_{day}" for name in index.split()], plans


async def test_pages_join_without_a_gap_across_days(carrying: Carrying, database: Database) -> None:
    spool = spool_of(carrying)
    # Several at the same millisecond, and a day that ends in the middle of a page.
    spool.write(b"".join(a_record(n, NOW_MS - n // 3 * DAY_MS // 2) for n in range(20)))
    spool.close()
    await carrying.work()

    pages: list[FoundDecision] = []
    after: Place | None = None
    while page := await database.read(partial(find_decisions, sought=_ALL, after=after, limit=3)):
        pages += page
        after = page[-1].place

    assert [each.place for each in pages] == sorted((p.place for p in pages), reverse=True)
    assert len({each.record["call_id"] for each in pages}) == len(pages) == 20


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        ({"hashes": ("a" * 16,)}, {1}),
        ({"hashes": ("b" * 16,)}, {2}),
        ({"hashes": ("c" * 16,)}, {3}),
        ({"accounts": ("ben",)}, {2}),
        ({"accounts": ("desk",)}, {3}),
        ({"call_id": "call-3"}, {3}),
        ({"gateway_id": "sbc-2"}, {1}),
        ({"decision_id": f"{2:020x}"}, {2}),
        ({"reason": "CREDITS_EXHAUSTED"}, {2}),
        ({"outcome": "refusal"}, {2}),
        ({"outcome": "refusal", "accounts": ("anna",)}, set()),
        ({"from_ms": NOW_MS - 1}, {2, 3}),
        ({"to_ms": NOW_MS}, {1}),
    ],
    ids=str,
)
async def test_a_record_is_found_by_each_thing_that_is_known_of_it(
    carrying: Carrying, database: Database, sought: dict[str, Any], expected: set[int]
) -> None:
    spool = spool_of(carrying)
    spool.write(a_record(1, NOW_MS - 5, far_number_hash="a" * 16, gateway_id="sbc-2"))
    refused: dict[str, Any] = {
        "outcome": "refusal",
        "reason": "CREDITS_EXHAUSTED",
        "account_ids": ["ben"],
        "payer": "ben",
    }
    spool.write(a_record(2, dialled_number_hash="b" * 16, **refused))
    spool.write(a_record(3, calling_number_hash="c" * 16, payer="desk"))
    spool.write(a_record(4, tenant_id="fabrikam", account_ids=["ben"]))
    spool.close()
    await carrying.work()

    told = await found(database, replace(_ALL, **sought))

    assert {int(each.record["decision_id"], 16) for each in told} == expected


async def test_a_batch_is_small_and_a_round_is_bounded(
    carrying: Carrying, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "_MOST_BATCHES", 2)
    spool = spool_of(carrying)
    spool.write(b"".join(map(a_record, range(20))))
    spool.close()

    counts = []
    for _ in range(4):
        await carrying.work()
        counts.append(
            await database.read(
                lambda c: c.scalar(select(func.count()).select_from(table_of(day_of(NOW_MS))))
            )
        )

    assert counts == [8, 16, 20, 20]
