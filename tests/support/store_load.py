"""Many who ask a store at once, and what they were told."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from server.storage.redis import Store, StoreUnavailable

WORKERS = 16
# A step tells the question, so that an answer of another one shows, and counts itself.
LIBRARY = """#!lua name=store_load
redis.register_function('step', function(keys, args)
  redis.call('SET', keys[2], args[1])
  return {args[1], redis.call('INCR', keys[1])}
end)
"""
_questions = itertools.count(1)


@dataclass(slots=True)
class Told:
    """What the workers were told: the counts of their answers, and the failures."""

    counts: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    # When the last answer came before, and how long the longest wait between two was.
    last_answer: float = 0.0
    longest_pause: float = 0.0
    longest_wait: float = 0.0

    def answered(self, count: int) -> None:
        now = time.monotonic()
        if self.counts:
            self.longest_pause = max(self.longest_pause, now - self.last_answer)
        self.last_answer = now
        self.counts.append(count)


async def step(store: Store, tag: str) -> int:
    """Do one step in a partition; say the how-maniest it was."""
    question = str(next(_questions))
    keys = (f"{{{tag}}}:count", f"{{{tag}}}:call:{question}")
    echoed, count = await store.call("step", keys, (question,))
    assert echoed == question.encode()
    return int(count)


@asynccontextmanager
async def load(store: Store, tag: str = "p1", workers: int = WORKERS) -> AsyncIterator[Told]:
    """Ask without end, from the first answer on, while the block lasts."""
    told, began, over = Told(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            asked = time.monotonic()
            try:
                told.answered(await step(store, tag))
                began.set()
            except StoreUnavailable as error:
                told.failures.append(str(error))
                await asyncio.sleep(0.001)
            told.longest_wait = max(told.longest_wait, time.monotonic() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
        await began.wait()
        try:
            yield told
        finally:
            over.set()


async def until_answered(store: Store, tag: str = "p1", seconds: float = 10.0) -> float:
    """Ask until there is an answer; say how long it took."""
    started = time.monotonic()
    while True:
        try:
            await step(store, tag)
        except StoreUnavailable:
            assert time.monotonic() - started < seconds
            await asyncio.sleep(0.005)
        else:
            return time.monotonic() - started
