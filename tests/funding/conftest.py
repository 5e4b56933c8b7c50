"""An account in an empty Valkey, an empty archive of each kind, and what moves money in."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from archive_fixtures import archive_url, postgresql
from keepers import Gate, GatedDatabase, GatedStore, House, fresh_archive
from server.archive import Archive
from server.store import Store
from server.store.embedded import find_binary
from stores import empty, running_server
from till_victims import GatedPayments
from tills import Till

__all__ = ["archive_url", "postgresql"]


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with running_server(find_binary()) as url:
        yield url


@pytest.fixture
async def house(valkey: str, archive_url: str) -> AsyncIterator[House]:
    store = Store(valkey)
    await empty(store)
    archive = await fresh_archive(archive_url)
    yield House(store, archive)
    await archive.close()
    await store.close()


@pytest.fixture
async def till(house: House) -> Till:
    await house.open(balance=None)
    return Till(house)


@pytest.fixture
async def doomed(
    till: Till, valkey: str, archive_url: str
) -> AsyncIterator[Callable[[Gate], Till]]:
    """Build tills, on connections of their own, that die at a gate."""
    stores: list[GatedStore] = []
    archives: list[Archive] = []

    def build(gate: Gate) -> Till:
        stores.append(GatedStore(valkey, gate))
        archives.append(Archive(GatedDatabase(archive_url, gate)))
        house = House(stores[-1], archives[-1], till.house.clock)
        return dataclasses.replace(till, house=house, payments=GatedPayments(till.payments, gate))

    yield build
    for archive in archives:
        await archive.close()
    for store in stores:
        await store.close()
