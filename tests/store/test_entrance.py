"""Connecting: a task that is cancelled meanwhile ends, at any moment, and leaves no socket."""

from __future__ import annotations

import asyncio
import gc
from typing import NoReturn

from deployments import Server
from server.storage.redis import Timeouts
from server.storage.redis.connector import Entrance

TRIES = 60
LOOKS = 200


async def test_a_cancel_is_never_lost_while_connecting(server: Server) -> None:
    entrance = Entrance(server.url, Timeouts())

    async def connect_on_and_on() -> NoReturn:
        while True:
            writer = await entrance.open_stream(None)
            writer.close()

    for attempt in range(TRIES):
        task = asyncio.create_task(connect_on_and_on())
        await asyncio.sleep(attempt * 0.0002)

        task.cancel()
        await asyncio.wait([task], timeout=1)

        was_kept = task.done()
        task.cancel()
        assert was_kept, f"lost at try {attempt}"
    gc.collect()
    clients = server.run("INFO", "clients")["connected_clients"]
    for _ in range(LOOKS):
        if clients == 1:
            break
        await asyncio.sleep(0.01)
        clients = server.run("INFO", "clients")["connected_clients"]
    # The one that looks.
    assert clients == 1
