"""Tests of following journals run on Valkey and on Redis 7.0."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from ledgers import ManualClock
from server.ledger.journal import JournalSource, Tailer
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, WakeUps
from stores import SINGLE, binaries, empty, running_server


@pytest.fixture(scope="session", params=SINGLE)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run one server of each kind."""
    binary = binaries()[request.param]
    assert binary is not None
    with running_server(binary) as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    connected = Store(url)
    await empty(connected)
    yield connected
    await connected.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ledger(store: Store, clock: ManualClock) -> RedisLedger:
    ledger = RedisLedger(store, clock)
    await ledger.install()
    return ledger


@pytest.fixture
async def tailer(url: str, store: Store) -> AsyncIterator[Tailer]:
    """A tailer at work."""
    tailer = Tailer(JournalSource(store, None), WakeUps(url))
    task = asyncio.create_task(tailer.run())
    yield tailer
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
