"""Every test of the ledger runs on the model, two single servers, a cluster and Sentinel.

On the cluster the slot of the tenant asked about is carried from node to node all the while. Behind
the sentinels the primary is killed in the midst of one test in thirty.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext

import pytest

from deployments import PATIENT_MS, running_cluster, running_sentinels
from ledgers import TENANT, ManualClock, UnderTest
from server.ledger.keys import keys_of
from server.ledger.model.ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.redis.embedded import find_binary
from stores import SINGLE, binaries, empty, running_server
from unsteady import CutStore, FailingOver, MovingSlot, PatientStore

MODEL, CLUSTER, SENTINEL = "model", "cluster", "sentinel"
SERVERS = (*SINGLE, CLUSTER, SENTINEL)
TESTS_A_DEATH = 30


@pytest.fixture(scope="session")
def urls() -> Iterator[dict[str, str]]:
    """Start each single server once, when the first test wants one; name the URLs."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running_server(binary))
            for name, binary in binaries().items()
            if binary is not None
        }


@pytest.fixture(scope="session")
def moving() -> Iterator[tuple[str, MovingSlot]]:
    """Start a cluster once; give its URL and the slot that moves."""
    with running_cluster(find_binary()) as cluster:
        yield cluster.url, MovingSlot(cluster, keys_of(TENANT).journal)


@pytest.fixture(scope="session")
def lasting_watched() -> Iterator[FailingOver]:
    """Start a primary, its replica and sentinels once."""
    with running_sentinels(find_binary(), down_after_ms=PATIENT_MS) as watched:
        yield FailingOver(watched)


@pytest.fixture
def failing_over(lasting_watched: FailingOver) -> Iterator[FailingOver]:
    """Both servers live before a test, and again after it."""
    yield lasting_watched
    lasting_watched.heal()


@pytest.fixture(scope="session")
def deaths() -> Iterator[bool]:
    """Say of each test in turn whether its primary dies."""
    return itertools.cycle([False, True, *[False] * (TESTS_A_DEATH - 2)])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=SERVERS)
async def store(request: pytest.FixtureRequest, urls: dict[str, str]) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    async with a_store(request, urls) as connected:
        yield connected


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
    async with a_store(request, urls) as connected:
        ledger = RedisLedger(connected, clock)
        await ledger.install()
        yield UnderTest(ledger, clock)


@pytest.fixture
def ledger(under_test: UnderTest) -> object:
    return under_test.ledger


@asynccontextmanager
async def a_store(request: pytest.FixtureRequest, urls: dict[str, str]) -> AsyncIterator[Store]:
    """Connect to an empty store of the kind that is asked for."""
    kind: str = request.param
    unsteady: AbstractContextManager[None] = nullcontext()
    if kind == CLUSTER:
        url, slot = request.getfixturevalue("moving")
        connected: Store = PatientStore(url)
        unsteady = slot.moving()
    elif kind == SENTINEL:
        connected = a_watched_store(
            request.getfixturevalue("failing_over"), next(request.getfixturevalue("deaths"))
        )
    else:
        connected = Store(urls[kind])
    await empty(connected)
    with unsteady:
        yield connected
    await connected.close()


def a_watched_store(failing_over: FailingOver, dies: bool) -> Store:
    """Connect through sentinels, to a primary that lives or dies."""
    if dies:
        return CutStore(failing_over.url, failing_over.kill)
    return PatientStore(failing_over.url)
