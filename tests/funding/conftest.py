"""An account in an empty Valkey, an empty archive of each kind, and what moves money in."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest

from archive_fixtures import archive_url, postgresql
from house_fixtures import house, valkey, watchers
from keepers import Gate, GatedDatabase, GatedStore, House
from server.archive import Archive
from till_victims import GatedPayments
from tills import Till

__all__ = ["archive_url", "house", "postgresql", "valkey", "watchers"]


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
