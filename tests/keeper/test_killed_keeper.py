"""Real processes and files: keepers that are killed, a store that comes back with an old copy."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path

from forks import Forked, run_forked
from keepers import House, drained, fresh_archive, sqlite_url
from ledgers import by_the_second
from server.storage.redis import EmbeddedServer, Store

_KILLS = 4
_CALLS_A_LIFE = 60
SEED = 20_261


def a_keeper_process(folder: Path, store_url: str) -> Forked:
    settings = {
        "CALLGATE_REDIS_URL": store_url,
        "CALLGATE_ARCHIVE_URL": sqlite_url(folder),
        "CALLGATE_DATA_FOLDER": str(folder / "data"),
    }
    return run_forked("keeper", environment=os.environ | settings, log=folder / "log")


async def play_calls(house: House, first: int, count: int) -> int:
    """Play whole calls; return what they cost."""
    cost = 0
    for number in range(first, first + count):
        await house.reserve(f"call-{number}", 1, by_the_second())
        await house.settle(f"call-{number}", 2, number % 50)
        cost += number % 50
    return cost


async def test_everything_is_archived_once_however_often_keepers_are_killed(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    server = EmbeddedServer(tmp_path / "store")
    await server.start()
    store = Store(server.url)
    house = House(store, await fresh_archive(sqlite_url(tmp_path)))
    house.clock.time_ms = await store.time_micros() // 1_000
    await house.open()
    cost = 0

    for life in range(_KILLS):
        process = a_keeper_process(tmp_path, server.url)
        await asyncio.sleep(chance.uniform(0.6, 1.4))
        cost += await play_calls(house, life * _CALLS_A_LIFE, _CALLS_A_LIFE)
        process.kill()
        process.wait()
        await store.command("DEL", "callgate:keeper")
    await drained(house)

    image = await house.image()
    records = await house.archive.usage("contoso", from_ms=0, to_ms=2**53)
    assert (await house.balance()).debited_micros == cost
    assert image.account.debited_micros == cost
    assert sum(record["charge_micros"] for record in records) == cost
    assert sum(lot.left_micros for lot in image.lots) == 6_000_000 - cost
    await house.archive.close()
    await store.close()
    await server.stop()


async def test_a_store_that_starts_from_an_old_copy_of_its_files_is_noticed_and_rebuilt(
    tmp_path: Path,
) -> None:
    folder, copy = tmp_path / "store", tmp_path / "copy"
    server = EmbeddedServer(folder)
    await server.start()
    store = Store(server.url)
    house = House(store, await fresh_archive(sqlite_url(tmp_path)))
    await house.open()
    cost = await play_calls(house, 0, 10)
    keeper = await drained(house)
    await server.stop()
    await asyncio.to_thread(shutil.copytree, folder, copy)
    await server.start()
    cost += await play_calls(house, 10, 10)
    await keeper.drain()
    lost = await play_calls(house, 20, 1)

    await server.stop()
    await asyncio.to_thread(shutil.rmtree, folder)
    await asyncio.to_thread(shutil.copytree, copy, folder)
    await server.start()
    cost += await play_calls(house, 30, 1)
    await keeper.drain()

    assert keeper.figures.partitions_rebuilt == 1
    balance = await house.balance()
    assert lost > 0, "it was never drained: this is all that such a store loses"
    assert (balance.debited_micros, balance.reserved_micros) == (cost, 0)
    await house.archive.close()
    await store.close()
    await server.stop()
