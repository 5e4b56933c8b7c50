"""Wake-ups of one server: each channel is heard soon, and once however often it was told."""

import asyncio
from collections import Counter
from collections.abc import Callable

from deployments import Server
from server.store import Store, WakeUps

BUSY, QUIET = "{p1}:journal", "{p2}:journal"
MESSAGES = 300


async def test_many_messages_are_heard_as_few_and_none_is_missed(server: Server) -> None:
    store, heard = Store(server.url), Counter[str]()
    wake_ups = WakeUps(server.url)
    wake_ups.hear(BUSY)
    wake_ups.hear(QUIET)
    listening = asyncio.create_task(wake_ups.run(lambda channel: heard.update([channel])))
    try:
        await _until_told(store, QUIET, lambda: heard[QUIET] > 0)
        await _until_told(store, BUSY, lambda: heard[BUSY] > 0)
        heard.clear()

        await asyncio.gather(
            *(store.command("SPUBLISH", BUSY, number) for number in range(MESSAGES))
        )
        await store.command("SPUBLISH", QUIET, "last")
        async with asyncio.timeout(5):
            while not heard[QUIET]:
                await asyncio.sleep(0.001)
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await store.close()

    assert 0 < heard[BUSY] < MESSAGES / 10


async def _until_told(store: Store, channel: str, is_heard: Callable[[], bool]) -> None:
    """Tell a channel again until it is listened on."""
    async with asyncio.timeout(5):
        while not is_heard():
            await store.command("SPUBLISH", channel, "0")
            await asyncio.sleep(0.05)
