"""Giving a server its libraries of functions."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from server.storage.redis.retries import load_libraries


class SlowLane:
    """Takes what it is sent, and lets others work before it replies."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, command: bytes) -> bytes:
        self.sent.append(command)
        await asyncio.sleep(0)
        return b"OK"


async def test_a_library_that_comes_meanwhile_does_not_end_the_giving() -> None:
    libraries, lane = {"one": "#!lua name=one"}, SlowLane()

    giving = asyncio.create_task(load_libraries(cast("Any", lane), libraries.values()))
    await asyncio.sleep(0)
    libraries["two"] = "#!lua name=two"
    await giving

    assert len(lane.sent) == 1
