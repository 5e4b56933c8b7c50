"""How long new calls of a partition wait while its slot moves to another node of a cluster.

Run `PYTHONPATH=.:tests/support python bench/slot_move.py`. It moves a slot of 10,000 keys of 300
bytes under load, key by key in several batch sizes, and whole where the server can.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial

import uvloop
from redis.crc import key_slot
from redis.exceptions import RedisError

from deployments import Cluster, Server, id_of, running_cluster
from server.storage.redis import Store, Timeouts
from server.storage.redis.embedded import find_binary
from store_load import LIBRARY, load, until_answered

KEYS = 10_000
PER = 100_000
BATCHES = (100, 1_000)
TAG, KEY = "p1", "{p1}:x"
# Long enough for all of a move, so that the pause is seen and not its time-out.
TIMEOUTS = Timeouts(reply_seconds=30.0)

Move = Callable[[Server], object]


def _move_whole(cluster: Cluster, target: Server) -> None:
    """Move a slot in one step, as Valkey 9 can."""
    source, slot = cluster.owner_of(KEY), key_slot(KEY.encode())
    source.run("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", id_of(target))
    while cluster.owner_of(KEY) is not target:
        time.sleep(0.005)


async def _pause(cluster: Cluster, move: Move) -> float:
    """Move the slot once, under load; give the longest time without an answer, in seconds."""
    store = Store(cluster.url, TIMEOUTS)
    await store.load_library(LIBRARY)
    source = cluster.owner_of(KEY)
    target = next(node for node in cluster.nodes if node is not source)
    source.run("FLUSHALL")
    source.fill("{p1}:old", KEYS)
    async with load(store, TAG) as told:
        await asyncio.to_thread(move, target)
        await until_answered(store, TAG)
    await store.close()
    return told.longest_pause


async def _main() -> None:
    with running_cluster(find_binary()) as cluster:
        ways: dict[str, Move] = {
            f"{batch:5} keys a MIGRATE": partial(cluster.move_slot_of, KEY, batch=batch)
            for batch in BATCHES
        }
        ways["CLUSTER MIGRATESLOTS"] = lambda target: _move_whole(cluster, target)
        for name, move in ways.items():
            try:
                pause = await _pause(cluster, move)
            except RedisError as error:
                sys.stdout.write(f"{name:24} {error}\n")
            else:
                per = pause * PER / KEYS
                sys.stdout.write(f"{name:24} {pause:6.2f} s, {per:6.1f} s per {PER:,} keys\n")


if __name__ == "__main__":
    uvloop.run(_main())
