"""Reading on from a place: in the store, in the archive, and where neither has it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keepers import House, drained, fresh_archive, sqlite_url
from ledgers import TENANT, credits_
from server.ledger.journal import BeyondRetention, EpochEnded, JournalSource, Movement, Place
from server.ledger.keys import keys_of, partition_of
from server.storage.redis import Store
from stores import empty

BEGINNING = Place(partition_of(TENANT), 1, 0)


@pytest.fixture
async def house(store: Store, tmp_path: Path) -> AsyncIterator[House]:
    house = House(store, await fresh_archive(sqlite_url(tmp_path)))
    await house.open()
    for number in range(6):
        await house.reserve(f"call-{number}", 1, credits_(), want=60)
    yield house
    await house.archive.close()


async def read_all(source: JournalSource, place: Place, limit: int = 3) -> list[Movement]:
    found: list[Movement] = []
    more = True
    while more:
        page = await source.after(place, limit=limit, tenant_id=TENANT)
        found += page.movements
        place, more = page.place, page.more
    return found


def numbers(movements: list[Movement]) -> list[int]:
    return [movement.entry.n for movement in movements]


async def test_pages_follow_each_other_without_gap_or_duplicate(house: House) -> None:
    source = JournalSource(house.store, house.archive)

    found = await read_all(source, BEGINNING)

    last = found[-1].entry.n
    assert numbers(found) == list(range(found[0].entry.n, last + 1))
    assert found[-1].call_id == "call-5"


async def test_what_was_trimmed_is_read_from_the_archive_as_it_was(house: House) -> None:
    source = JournalSource(house.store, house.archive)
    before = await read_all(source, BEGINNING)
    await drained(house)
    await house.reserve("call-6", 1, credits_(), want=60)

    after = await read_all(source, BEGINNING)

    assert await house.store.command("XLEN", keys_of(TENANT).journal) == 2
    assert numbers(after)[:-1] == numbers(before)
    assert [movement.moves for movement in after[:-1]] == [one.moves for one in before]
    assert after[-1].call_id == "call-6"


async def test_any_place_can_be_read_on_from_after_trimming(house: House) -> None:
    source = JournalSource(house.store, house.archive)
    everything = await read_all(source, BEGINNING)
    await drained(house)

    for index, movement in enumerate(everything):
        entry = movement.entry
        place = Place(BEGINNING.partition, entry.epoch, entry.n, entry.nonce)
        rest = await read_all(source, place)
        assert numbers(rest) == numbers(everything[index + 1 :])


async def test_what_is_neither_in_store_nor_archive_is_beyond_retention(house: House) -> None:
    everything = await read_all(JournalSource(house.store, house.archive), BEGINNING)
    entry = everything[1].entry
    place = Place(BEGINNING.partition, entry.epoch, entry.n, entry.nonce)
    await drained(house)

    with pytest.raises(BeyondRetention):
        await JournalSource(house.store, None).after(place, limit=10)


async def test_a_place_of_another_history_is_not_read_on_from(house: House) -> None:
    source = JournalSource(house.store, house.archive)
    entry = (await read_all(source, BEGINNING))[1].entry
    place = Place(BEGINNING.partition, entry.epoch, entry.n, "another")

    with pytest.raises(EpochEnded):
        await source.after(place, limit=10)
    with pytest.raises(EpochEnded):
        await source.after(dataclasses.replace(place, n=10_000), limit=10)
    await drained(house)
    with pytest.raises(EpochEnded):
        await source.after(place, limit=10)


async def test_an_epoch_that_ended_is_told(house: House) -> None:
    source = JournalSource(house.store, house.archive)
    await drained(house)
    place = (await source.standing(TENANT)).place
    await empty(house.store)
    await drained(house)

    with pytest.raises(EpochEnded):
        await source.after(place, limit=10)

    assert (await source.standing(TENANT)).place.epoch > place.epoch
