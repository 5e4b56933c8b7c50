"""A store and an archive that is watched; an outbox of each kind of archive; a mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from archive_fixtures import archive_url, postgresql
from couriers import PostRoom, post_room
from house_fixtures import house, valkey
from mail_sinks import MailSink, mail_sink
from server.archive.archive import Watcher
from server.notices.crossings import CrossingWatch

__all__ = ["archive_url", "house", "postgresql", "valkey"]


@pytest.fixture
def watchers() -> tuple[Watcher, ...]:
    return (CrossingWatch,)


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
