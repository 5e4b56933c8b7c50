"""A keeper with nothing to do asks little, and works as soon as something moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepers import House, fresh_archive, sqlite_url
from ledgers import by_the_second
from server.archive.keeper import keeper as module
from server.storage.redis import Store
from server.storage.sql.database import Database
from server.storage.sql.gate import LONGEST_REST_SECONDS, Gate
from serving import eventually
from stores import empty

TENANTS = ("contoso", "fabrikam", "tailspin", "initech", "globex", "umbrella")
_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.01


class CountingStore(Store):
    """A store that counts the commands it is asked, by their names."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: Counter[str] = Counter()

    async def command(self, *parts: str | bytes | int) -> Any:
        self.asked[str(parts[0])] += 1
        return await super().command(*parts)


@pytest.fixture
async def store(valkey: str) -> AsyncIterator[CountingStore]:
    store = CountingStore(valkey)
    await empty(store)
    yield store
    await store.close()


@pytest.fixture
async def house(
    store: CountingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    # The rounds of a minute and more of a keeper, in a second.
    for name in ("_DRAIN_PAUSE_SECONDS", "_EXPIRE_ROUND_SECONDS", "_INSPECTION_ROUND_SECONDS"):
        monkeypatch.setattr(module, name, getattr(module, name) / 20)
    house = House(store, await fresh_archive(sqlite_url(tmp_path)))
    for tenant in TENANTS:
        await house.open(tenant=tenant)
    yield house
    await house.archive.close()


async def test_an_idle_keeper_looks_at_all_journals_by_one_command(
    house: House, store: CountingStore
) -> None:
    async with idle_keeper(house, store):
        store.asked.clear()
        await eventually(lambda: store.asked["XREAD"] >= 50, _PATIENCE_SECONDS)

    looks, partitions = store.asked["XREAD"], len(await house.archive.positions())
    others = store.asked.total() - looks
    assert partitions > 3, "one command stands for several"
    # Full rounds and inspections now and then; else it is a command a partition, and more.
    assert others < looks * 2
    assert store.asked["XRANGE"] <= (looks // 9 + 1) * partitions


async def test_what_moves_after_long_silence_is_archived_at_the_next_look(
    house: House, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROUNDS_A_FULL_ONE", 10**9)
    async with idle_keeper(house, store):
        await house.reserve("call-1", 1, by_the_second())
        await house.settle("call-1", 2, 10)
        await until_archived(house, debited=10)


async def test_what_is_held_lapses_after_long_silence_without_a_full_round(
    house: House, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EXPIRE_ROUNDS_A_FULL_ONE", 10**9)
    async with idle_keeper(house, store) as figures:
        await house.reserve("call-1", 1, by_the_second())
        # It is found held; only then the time passes, and nothing moves any more.
        store.asked.clear()
        await eventually(lambda: store.asked["ZRANGEBYSCORE"] >= 3, _PATIENCE_SECONDS)
        house.clock.pass_seconds(3_600)
        await eventually(lambda: figures.expired_reservations == 1, _PATIENCE_SECONDS)


async def test_a_store_that_lost_all_is_filled_anew_though_no_journal_moves(
    house: House, store: CountingStore
) -> None:
    async with idle_keeper(house, store) as figures:
        known = len(await house.archive.positions())
        await store.command("FLUSHALL")
        await eventually(lambda: figures.partitions_rebuilt >= known, _PATIENCE_SECONDS)


async def test_a_round_of_sql_is_done_when_somebody_else_wrote(tmp_path: Path) -> None:
    own, others = Database(sqlite_url(tmp_path)), Database(sqlite_url(tmp_path))
    await own.migrate()
    done: list[str] = []
    gate = Gate(own, seconds=lambda: 100.0)

    async def round_() -> None:
        done.append("round")

    async def quiet() -> bool:
        before = len(done)
        await gate.passed(round_)
        return len(done) == before

    await until_true(quiet)
    await others.write(lambda c: c.exec_driver_sql("CREATE TABLE moved (n INTEGER)"))

    assert not await quiet()
    for database in (own, others):
        await database.close()


async def test_a_round_of_sql_is_done_where_something_waits_or_it_failed_or_time_passed(
    tmp_path: Path,
) -> None:
    database = Database(sqlite_url(tmp_path))
    await database.migrate()
    waits, now = [False], [100.0]
    gate = Gate(database, lambda: waits[0], lambda: now[0])
    done: list[bool] = []

    async def round_() -> None:
        done.append(waits[0])

    async def breaks() -> None:
        raise ValueError("the round broke")

    async def is_done() -> bool:
        before = len(done)
        await gate.passed(round_)
        return len(done) > before

    async def rests() -> bool:
        return not await is_done()

    await until_true(rests)
    waits[0] = True
    assert await is_done()
    assert await is_done()
    with pytest.raises(ValueError, match="the round"):
        await gate.passed(breaks)
    waits[0] = False
    assert await is_done()
    assert not await is_done()
    now[0] += LONGEST_REST_SECONDS
    assert await is_done()
    await database.close()


@asynccontextmanager
async def idle_keeper(house: House, store: CountingStore) -> AsyncIterator[Any]:
    """Run a keeper; the block begins once it has drained everything, and nothing is held."""
    keeper = house.keeper()
    await keeper.do_all()
    working = asyncio.create_task(keeper.run())
    await eventually(lambda: store.asked["ZCARD"] >= len(TENANTS), _PATIENCE_SECONDS)
    await eventually(lambda: store.asked["XREAD"] >= 5, _PATIENCE_SECONDS)
    try:
        yield keeper.figures
    finally:
        working.cancel()
        await asyncio.wait([working])


async def until_archived(house: House, debited: int) -> None:
    async def is_archived() -> bool:
        return (await house.image()).account.debited_micros == debited

    await until_true(is_archived)


async def until_true(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110 -- The store tells nobody.
            await asyncio.sleep(_LOOK_SECONDS)
