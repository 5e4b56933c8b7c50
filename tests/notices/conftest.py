"""A store and an archive that is watched; an outbox of each kind of archive; a mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from archive_fixtures import archive_url, postgresql
from couriers import PostRoom, post_room
from keepers import House, fresh_archive
from mail_sinks import MailSink, mail_sink
from server.notices.crossings import CrossingWatch
from server.store import Store
from server.store.embedded import find_binary
from stores import empty, running_server

__all__ = ["archive_url", "postgresql"]


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with running_server(find_binary()) as url:
        yield url


@pytest.fixture
async def house(valkey: str, archive_url: str) -> AsyncIterator[House]:
    store = Store(valkey)
    await empty(store)
    archive = await fresh_archive(archive_url, CrossingWatch)
    yield House(store, archive)
    await archive.close()
    await store.close()


@pytest.fixture
async def sink() -> AsyncIterator[MailSink]:
    async with mail_sink() as running:
        yield running


@pytest.fixture
async def room(archive_url: str, sink: MailSink) -> AsyncIterator[PostRoom]:
    opened = await post_room(archive_url)
    opened.port = sink.port
    yield opened
    await opened.database.close()
