"""A primary with a replica, watched by three sentinels: found, lost, found again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments import Watched, running_sentinels
from server.storage.redis import Store, StoreUnavailable, Timeouts
from store_load import LIBRARY, load, step, until_answered

# Until the sentinels promote the replica, on a busy machine.
FAILOVER_SECONDS = 10.0
Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def watched(binary: Path) -> Iterator[Watched]:
    with running_sentinels(binary) as running:
        yield running


async def test_the_first_sentinel_may_be_away(watched: Watched) -> None:
    """C10: of the list of sentinels."""
    store = Store(watched.url.replace("://", "://127.0.0.1:1,"))

    await store.check()
    assert await store.command("SET", "found", "x") == b"OK"
    await store.close()

    assert watched.primary.run("GET", "found") == b"x"


async def test_a_name_that_no_sentinel_knows_is_told(watched: Watched) -> None:
    store = Store(watched.url + "-of-others")

    with pytest.raises(StoreUnavailable, match="no sentinel knows"):
        await store.check()
    await store.close()


async def test_a_replica_is_never_used(watched: Watched) -> None:
    store = Store(watched.replica.url, Timeouts(reply_seconds=0.5))

    with pytest.raises(StoreUnavailable, match="replica"):
        await store.command("GET", "found")
    await store.close()


# Last, for it leaves one server dead.
async def test_a_primary_that_was_killed_is_followed_to_its_replica(
    watched: Watched, tell: Tell
) -> None:
    store = Store(watched.url)
    opened: list[None] = []
    store.on_connect(lambda: opened.append(None))
    await store.load_library(LIBRARY)

    async with load(store) as told:
        answered = len(told.counts)
        watched.primary.kill()
        killed = time.monotonic()
        await until_answered(store, seconds=FAILOVER_SECONDS)
        took = time.monotonic() - killed
    after = await step(store, "p1")
    await store.close()

    tell(f"a primary under Sentinel killed: its replica answers after {took:.1f} s")
    assert answered > 0
    assert len(opened) == 2
    assert watched.replica.run("GET", "{p1}:count") == str(after).encode()
