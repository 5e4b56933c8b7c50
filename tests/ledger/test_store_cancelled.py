"""A task that is cancelled while it speaks to the store ends, whatever the moment."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from server.store import Store

# Without care, Python 3.11 loses one cancel in five; all of 60 are kept by luck once in 600,000.
TRIES = 60


async def test_a_cancel_is_never_lost(store: Store) -> None:
    async def speak_on_and_on() -> NoReturn:
        while True:
            await store.command("PING")

    await store.command("PING")
    lost = []
    for attempt in range(TRIES):
        task = asyncio.create_task(speak_on_and_on())
        await asyncio.sleep(attempt * 0.00005)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        if not task.done():
            lost.append(attempt)
            task.cancel()

    assert lost == []
