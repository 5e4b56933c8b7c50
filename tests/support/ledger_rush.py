"""Many calls asked at once, from processes of their own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ledgers import ask
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, StoreClock

PROCESSES = 4


def rush(url: str, calls: int) -> list[int]:
    """Ask for `calls` calls of 60 s on credits, shared among processes; say what was granted."""
    each = calls // PROCESSES
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        shares = [pool.submit(_ask_some, url, n * each, each) for n in range(PROCESSES)]
        return [granted for share in shares for granted in share.result()]


def _ask_some(url: str, first: int, count: int) -> list[int]:
    return asyncio.run(_ask_at_once(url, range(first, first + count)))


async def _ask_at_once(url: str, numbers: range) -> list[int]:
    store = Store(url)
    clock = StoreClock(store)
    await clock.refresh()
    ledger = RedisLedger(store, clock)
    requests = [ask(f"call-{number}", 1, want=60) for number in numbers]
    answers = await asyncio.gather(*(ledger.reserve(request) for request in requests))
    await store.close()
    return [answer.granted_seconds for answer in answers]
