"""Two processes follow journals on a cluster of three primaries, one of which gives a slot away."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from deployments import Cluster, running_cluster
from ledgers import ManualClock, an_account, ask
from server.ledger.journal import Follower, JournalSource, Tailer
from server.ledger.keys import keys_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, WakeUps
from server.storage.redis.embedded import find_binary


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(find_binary()) as cluster:
        yield cluster


def a_tenant_at_each_node(cluster: Cluster) -> list[str]:
    found: dict[int, str] = {}
    for number in itertools.count():
        tenant = f"tenant-{number}"
        found.setdefault(cluster.owner_of(keys_of(tenant).journal).port, tenant)
        if len(found) == len(cluster.nodes):
            return list(found.values())
    raise AssertionError


@asynccontextmanager
async def following(cluster: Cluster, tenants: list[str]) -> AsyncIterator[Follower]:
    """Follow some tenants as a process of its own does."""
    store = Store(cluster.url)
    tailer = Tailer(JournalSource(store, None), WakeUps(cluster.url))
    task = asyncio.create_task(tailer.run())
    follower = tailer.follower("reader")
    for tenant in tenants:
        await follower.join(tenant)
    yield follower
    task.cancel()
    await asyncio.wait([task])
    await store.close()


async def calls_of(follower: Follower, count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while len(found) < count:
        batch = await follower.next(10)
        assert batch is not None, f"only {found}"
        found += [(batch.tenant_id, movement.call_id) for movement in batch.movements]
    return sorted(found)


async def test_every_process_gets_the_entries_of_all_nodes_also_after_a_slot_moved(
    cluster: Cluster,
) -> None:
    tenants = a_tenant_at_each_node(cluster)
    store = Store(cluster.url)
    ledger = RedisLedger(store, ManualClock())
    await ledger.install()
    for tenant in tenants:
        await ledger.open_account(an_account(6_000_000, tenant=tenant))
    journal = keys_of(tenants[0]).journal
    target = next(node for node in cluster.nodes if node is not cluster.owner_of(journal))

    async with following(cluster, tenants) as one, following(cluster, tenants) as two:
        for tenant in tenants:
            await ledger.reserve(ask("before", 1, tenant=tenant))
        before = [await calls_of(follower, 3) for follower in (one, two)]
        await asyncio.to_thread(cluster.move_slot_of, journal, target)
        for tenant in tenants:
            await ledger.reserve(ask("after", 1, tenant=tenant))
        after = [await calls_of(follower, 3) for follower in (one, two)]
    await store.close()

    assert before == [sorted((tenant, "before") for tenant in tenants)] * 2
    assert after == [sorted((tenant, "after") for tenant in tenants)] * 2
