"""Fixtures of those who play whole accounts: an empty Valkey, an archive of each kind, a house."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from keepers import House
from server.archive import Archive
from server.archive.archive import Watcher
from server.storage.redis import Store
from server.storage.redis.embedded import find_binary
from server.storage.sql.database import Database
from stores import empty, running_server


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with running_server(find_binary()) as url:
        yield url


@pytest.fixture
def watchers() -> tuple[Watcher, ...]:
    """Who looks on at what is archived: nobody, where no conftest says otherwise."""
    return ()


@pytest.fixture
async def house(
    valkey: str, archive_url: str, watchers: tuple[Watcher, ...]
) -> AsyncIterator[House]:
    store = Store(valkey)
    await empty(store)
    archive = Archive(Database(archive_url), watchers)
    yield House(store, archive)
    await archive.close()
    await store.close()
