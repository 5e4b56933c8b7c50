"""A task that is cancelled while it speaks to the store ends, whatever the moment."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from server.storage.redis import Store

TRIES = 60


async def test_a_cancel_is_never_lost(store: Store) -> None:
    async def speak_on_and_on() -> NoReturn:
        while True:
            await store.command("PING")

    await store.command("PING")
    for attempt in range(TRIES):
        task = asyncio.create_task(speak_on_and_on())
        await asyncio.sleep(attempt * 0.00005)

        task.cancel()
        await asyncio.wait([task], timeout=1)

        was_kept = task.done()
        task.cancel()
        assert was_kept, f"lost at try {attempt}"
