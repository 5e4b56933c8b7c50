"""Every test of the ledger runs on the model, on Valkey, on Redis 7.0 and on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from deployments import running_cluster
from ledgers import ManualClock, UnderTest
from server.ledger.memory_ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.store import Store
from server.store.embedded import find_binary
from stores import binaries, empty, running_server

MODEL, CLUSTER = "model", "cluster"
SERVERS = (*binaries(), CLUSTER)


@pytest.fixture(scope="session")
def urls() -> Iterator[dict[str, str]]:
    """Start each server once, when the first test wants one; name the URLs."""
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(running_server(binary))
            for name, binary in binaries().items()
            if binary is not None
        }
        found[CLUSTER] = stack.enter_context(running_cluster(find_binary())).url
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=SERVERS)
async def store(request: pytest.FixtureRequest, urls: dict[str, str]) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    if request.param not in urls:
        pytest.skip(f"{request.param}-server is not installed")
    connected = Store(urls[request.param])
    await empty(connected)
    yield connected
    await connected.close()


@pytest.fixture
async def redis_ledger(store: Store, clock: ManualClock) -> RedisLedger:
    ledger = RedisLedger(store, clock)
    await ledger.install()
    return ledger


@pytest.fixture(params=(MODEL, *SERVERS))
async def under_test(
    request: pytest.FixtureRequest, urls: dict[str, str], clock: ManualClock
) -> AsyncIterator[UnderTest]:
    """Each ledger in turn, empty, and the clock it goes by."""
    if request.param == MODEL:
        yield UnderTest(MemoryLedger(clock), clock)
        return
    if request.param not in urls:
        pytest.skip(f"{request.param}-server is not installed")
    connected = Store(urls[request.param])
    await empty(connected)
    ledger = RedisLedger(connected, clock)
    await ledger.install()
    yield UnderTest(ledger, clock)
    await connected.close()


@pytest.fixture
def ledger(under_test: UnderTest) -> object:
    return under_test.ledger
