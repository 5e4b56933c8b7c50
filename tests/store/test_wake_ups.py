"""Wake-ups of one server: each channel is heard soon, and once however often it was told."""

import asyncio
from collections import Counter
from collections.abc import Callable

from deployments import Server
from server.storage.redis import Store, WakeUps
from server.storage.redis.wakeups import REST_SECONDS, UNTOLD_SECONDS

BUSY, QUIET = "{p1}:journal", "{p2}:journal"
MESSAGES = 300


async def test_many_messages_are_heard_as_few_and_none_is_missed(server: Server) -> None:
    store, heard, quiet_heard = Store(server.url), Counter[str](), asyncio.Event()

    def hear(channel: str) -> None:
        heard[channel] += 1
        if channel == QUIET:
            quiet_heard.set()

    wake_ups = WakeUps(server.url)
    wake_ups.hear(BUSY)
    wake_ups.hear(QUIET)
    listening = asyncio.create_task(wake_ups.run(hear))
    try:
        await _until_told(store, QUIET, lambda: heard[QUIET] > 0)
        await _until_told(store, BUSY, lambda: heard[BUSY] > 0)
        # What is still on its way is heard before that is over.
        await asyncio.sleep(2 * REST_SECONDS)
        heard.clear()
        quiet_heard.clear()

        await asyncio.gather(
            *(store.command("SPUBLISH", BUSY, number) for number in range(MESSAGES))
        )
        await store.command("SPUBLISH", QUIET, "last")
        async with asyncio.timeout(5):
            await quiet_heard.wait()
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await store.close()

    assert 0 < heard[BUSY] < MESSAGES / 10


async def test_who_begins_to_listen_looks_again_after_what_nobody_was_told(server: Server) -> None:
    looks: list[float] = []
    looked_again = asyncio.Event()

    def hear(channel: str) -> None:
        looks.append(asyncio.get_running_loop().time())
        if not channel and len(looks) > 1:
            looked_again.set()

    wake_ups = WakeUps(server.url)
    wake_ups.hear(QUIET)
    listening = asyncio.create_task(wake_ups.run(hear))
    async with asyncio.timeout(5):
        await looked_again.wait()
    listening.cancel()
    await asyncio.wait([listening])

    assert looks[1] - looks[0] >= UNTOLD_SECONDS


async def _until_told(store: Store, channel: str, is_heard: Callable[[], bool]) -> None:
    """Tell a channel again until it is listened on."""
    async with asyncio.timeout(5):
        while not is_heard():
            await store.command("SPUBLISH", channel, "0")
            await asyncio.sleep(0.05)
