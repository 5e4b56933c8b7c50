"""An empty Valkey and an empty archive for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keepers import House, fresh_archive, sqlite_url
from server.store import Store
from server.store.embedded import find_binary
from stores import empty, running_server


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with running_server(find_binary()) as url:
        yield url


@pytest.fixture
async def house(valkey: str, tmp_path: Path) -> AsyncIterator[House]:
    store = Store(valkey)
    await empty(store)
    archive = await fresh_archive(sqlite_url(tmp_path))
    yield House(store, archive)
    await archive.close()
    await store.close()
