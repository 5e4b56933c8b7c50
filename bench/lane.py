"""What one FCALL costs the engine: over the lane, and over redis-py's asyncio client.

Run `PYTHONPATH=. python bench/lane.py`. It starts the embedded server, measures the CPU time of
this process alone, in interleaved passes, and prints medians and their ratio.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from server.storage.redis import EmbeddedServer, Store

PASSES = 5
CALLS = 4_000
IN_FLIGHT = 32
KEY = "{p1}:bench"
ARGUMENTS = ("1800000000000", "contoso", "facts-1", "60", "15", "x" * 300)
LIBRARY = """#!lua name=bench
redis.register_function('bench_step', function(keys, args)
  redis.call('HSET', keys[1], 'field', args[1])
  return {'OK', redis.call('HGET', keys[1], 'field')}
end)
"""

Ask = Callable[[], Awaitable[object]]


async def _measure(ask: Ask) -> float:
    """Give the microseconds of CPU that one call costs, at so many in flight."""

    async def ask_on_and_on() -> None:
        for _ in range(CALLS // IN_FLIGHT):
            await ask()

    before = time.process_time()
    await asyncio.gather(*(ask_on_and_on() for _ in range(IN_FLIGHT)))
    return (time.process_time() - before) / CALLS * 1e6


async def _compare(url: str) -> None:
    store, redis = Store(url), Redis.from_url(url, protocol=2)
    await store.load_library(LIBRARY)
    ways: dict[str, Ask] = {
        "the lane": lambda: store.call("bench_step", (KEY,), ARGUMENTS),
        "redis-py": lambda: redis.fcall("bench_step", 1, KEY, *ARGUMENTS),
    }
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(PASSES):
        for name, ask in ways.items():
            costs[name].append(await _measure(ask))
    await store.close()
    await redis.aclose()
    medians = {name: statistics.median(found) for name, found in costs.items()}
    for name, cost in medians.items():
        sys.stdout.write(f"{name:10} {cost:7.1f} us of CPU per FCALL, {IN_FLIGHT} in flight\n")
    sys.stdout.write(f"ratio      {medians['the lane'] / medians['redis-py']:7.3f}\n")


async def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        server = EmbeddedServer(Path(folder))
        await server.start()
        try:
            await _compare(server.url)
        finally:
            await server.stop()


if __name__ == "__main__":
    uvloop.run(_main())
