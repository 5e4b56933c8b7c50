"""A primary of a cluster that is away holds up the keeper's work on no other one's partitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typing_extensions import override

from keepers import PARTITION, House
from ledgers import by_the_second
from server.archive.keeper.keeper import Keeper, KeeperDuty
from server.ledger.headroom import JournalFill
from server.ledger.keys import KEEPER_LEASE, partition_of
from server.storage.redis import Store, StoreUnavailable

# Its partition comes before contoso's in every round.
OTHER = "tailspin-59"


class PartlyAway(Store):
    """A store of which some keys are on a primary that is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.away: tuple[str, ...] = ()

    @override
    async def command(self, *parts: str | bytes | int) -> Any:
        if any(str(part).startswith(self.away) for part in parts if self.away):
            raise StoreUnavailable("its primary is away")
        return await super().command(*parts)


@pytest.fixture
async def town(house: House, valkey: str) -> AsyncIterator[House]:
    """A house with accounts in two partitions, and calls to archive in both."""
    assert partition_of(OTHER) < PARTITION
    store = PartlyAway(valkey)
    town = House(store, house.archive)
    await town.open()
    await town.open(tenant=OTHER)
    await town.reserve("call-1", 1, by_the_second())
    yield town
    await store.close()


def lose(town: House, *keys: str) -> None:
    assert isinstance(town.store, PartlyAway)
    town.store.away = keys or (f"{{p{partition_of(OTHER)}}}",)


async def leading(town: House) -> Keeper:
    keeper = town.keeper()
    await keeper.hold_lease()
    await keeper.read_positions()
    return keeper


async def test_a_partition_that_is_away_keeps_no_other_one_from_being_archived(town: House) -> None:
    keeper = await leading(town)
    await town.settle("call-1", 2, 10)
    lose(town)

    await keeper.round(keeper.drain)

    assert (await town.image()).account.debited_micros == 10


async def test_a_partition_that_is_away_keeps_no_other_one_s_calls_from_lapsing(
    town: House,
) -> None:
    keeper = await leading(town)
    lose(town)
    town.clock.pass_seconds(3_600)

    await keeper.round(keeper.expire)
    await keeper.round(keeper.sweep)

    assert (await town.balance()).reserved_micros == 0
    assert keeper.figures.expired_reservations == 1


async def test_partitions_are_found_beside_some_that_are_away(town: House) -> None:
    keeper = town.keeper()
    lose(town)

    await keeper.discover()
    await keeper.round(keeper.drain)

    assert keeper.figures.waiting[PARTITION] == 0


async def test_a_partition_is_archived_again_once_it_is_back(town: House) -> None:
    keeper = await leading(town)
    lose(town)
    await keeper.round(keeper.drain)
    before = dict(keeper.figures.waiting)
    lose(town, "nothing")

    await keeper.look_for_away()
    await keeper.drain()

    assert partition_of(OTHER) not in before
    assert keeper.figures.waiting[partition_of(OTHER)] == 0


async def test_a_keeper_whose_lease_is_away_works_without_it(town: House) -> None:
    lose(town, KEEPER_LEASE)
    keeper = town.keeper()

    await keeper.round(keeper.hold_lease)

    assert keeper.figures.leads


async def test_a_duty_that_breaks_leaves_the_others_at_work(
    town: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.archive.keeper.keeper._BROKEN_PAUSE_SECONDS", 0)
    done = asyncio.Event()

    async def breaks() -> None:
        raise KeyError("one tenant's")

    async def works() -> None:
        done.set()

    parts, figures = town.parts, town.keeper().figures
    keeper = Keeper(parts, figures, [KeeperDuty(breaks, 0.01), KeeperDuty(works, 0.01)])
    working = asyncio.create_task(keeper.run())
    for _ in range(2):
        async with asyncio.timeout(10):
            await done.wait()
        done.clear()

    assert not working.done()
    working.cancel()
    await asyncio.wait([working])


async def test_a_journal_that_is_full_is_found_beside_one_that_is_away(town: House) -> None:
    lose(town)
    fill = JournalFill(town.journal, lambda: [partition_of(OTHER), PARTITION], most_entries=0)

    await fill.look()

    assert fill.is_full("contoso")
    assert not fill.is_full(OTHER)
