"""An account in an empty Valkey, an empty archive of each kind, and what moves money in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from archive_fixtures import archive_url, postgresql
from keepers import House, fresh_archive
from server.store import Store
from server.store.embedded import find_binary
from stores import empty, running_server
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
