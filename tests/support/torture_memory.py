"""What a bridge of the torture told last, told again when the store's epoch has changed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import grpc.aio

from bridges import Bridge
from callgate.v1.server_info_pb2 import GetServerInfoRequest
from callgate.v1.server_info_pb2_grpc import ServerInfoServiceStub
from torture_victims import Victims
from torture_world import PlannedCall

EPOCH_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_HEARD_SECONDS = 60.0


class Memory:
    """What a bridge told last of its calls: told again when the store's epoch has changed."""

    def __init__(
        self,
        bridge: Bridge,
        victims: Victims,
        tell_again: Callable[[Bridge, PlannedCall], Awaitable[None]],
    ) -> None:
        self.bridge = bridge
        self._tell_again = tell_again
        self.told_again = 0
        self.epoch = 0
        self._victims = victims
        self._told_last: list[PlannedCall] = []
        # Each is told again by one at a time.
        self._alone = asyncio.Lock()

    def keep(self, call: PlannedCall) -> None:
        """Remember a call of which nothing new is going to be said."""
        self._told_last.append(call)

    async def keep_looking(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EPOCH_SECONDS)

    async def look(self) -> None:
        """Look once."""
        async with self._alone:
            was, self.epoch = self.epoch, await self._store_epoch() or self.epoch
            if 0 < was < self.epoch:
                for call in list(self._told_last):
                    self.told_again += 1
                    await self._tell_again(self.bridge, call)

    async def _store_epoch(self) -> int:
        # A server that was just started may not know it, and one that is killed says nothing.
        async with grpc.aio.insecure_channel(self._victims.addresses[0]) as channel:
            with suppress(grpc.aio.AioRpcError):
                told = await ServerInfoServiceStub(channel).GetServerInfo(
                    GetServerInfoRequest(), timeout=_ANSWER_SECONDS, wait_for_ready=True
                )
                return int(told.store_epoch)
        return 0


@asynccontextmanager
async def watching(memories: Sequence[Memory]) -> AsyncIterator[None]:
    """Let bridges tell again what was lost while the block lasts, from the first epoch on."""
    for memory in memories:
        while not memory.epoch:
            await memory.look()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(memory.keep_looking()) for memory in memories]
        yield
        for task in tasks:
            task.cancel()


async def heard_of_all(archive: Path, memories: Sequence[Memory]) -> None:
    """Wait until every bridge has heard of the last epoch that the archive began."""
    with closing(sqlite3.connect(f"file:{archive}?mode=ro", uri=True)) as database:
        (begun,) = database.execute("SELECT sum(max(0, epoch - 1)) FROM partitions").fetchone()
        (runs,) = database.execute("SELECT count(*) FROM store_runs").fetchone()
    async with asyncio.timeout(_HEARD_SECONDS):
        for memory in memories:
            while memory.epoch < begun + runs:
                await memory.look()
