"""One primary: the lane to it, opened when it is wanted and not there, with pauses in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.storage.redis.connector import Address
from server.storage.redis.errors import StoreUnavailable
from server.storage.redis.lane import FULL, IN_FLIGHT_LIMIT, Lane

# After an attempt that failed, none is made for this long: doubled each time, up to the longest.
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25

Connect = Callable[[], Awaitable[asyncio.StreamWriter]]


async def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class NodeEvents:
    """Whom a node tells that a lane was opened, and that there is none: others may know why.

    `before_use` is waited for before anybody is given the lane; it may raise `StoreUnavailable`.
    """

    opened: Callable[[], None]
    doubted: Callable[[], None]
    before_use: Callable[[], Awaitable[None]] = _nothing


class Node:
    """Gives its lane to whoever asks.

    Who asks while there is none begins an attempt to open one, or waits for the one under way;
    between two attempts it is told at once why there is none.

    Attributes:
        lane: The lane, if one is open.
    """

    def __init__(
        self, address: Address | None, connect: Connect, *, reply_seconds: float, events: NodeEvents
    ) -> None:
        self.address = address
        self._connect = connect
        self._reply_seconds = reply_seconds
        self._events = events
        self.lane: Lane | None = None
        self._was_lost = False
        self._attempt: asyncio.Task[None] | None = None
        self._waiting = 0
        self._trouble = "the connection was closed"
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether there is neither a lane nor an attempt to open one."""
        return self.lane is None and self._attempt is None

    async def reach(self) -> Lane:
        """Wait for a lane. Raises `StoreUnavailable`."""
        if self.lane is None:
            await self._wait_for_attempt()
        if self.lane is None:
            raise StoreUnavailable(self._trouble)
        return self.lane

    def refuse(self, lane: Lane, why: str) -> None:
        """Send no more commands on a lane: who answers there says that it is no primary now."""
        if lane is self.lane:
            self.lane = None
            lane.retire()
            self._note_failure(why)

    async def close(self) -> None:
        """Close the lane."""
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self.lane is not None:
            self.lane.close("the store was closed")
            # The socket is given back in the next turn.
            await asyncio.sleep(0)

    async def _wait_for_attempt(self) -> None:
        if self._waiting >= IN_FLIGHT_LIMIT:
            raise StoreUnavailable(FULL)
        if self._attempt is None:
            if asyncio.get_running_loop().time() < self._not_before:
                raise StoreUnavailable(self._trouble)
            if self._was_lost:
                # And what was here may be somewhere else already.
                self._events.doubted()
            self._attempt = asyncio.create_task(self._open_lane())
        self._waiting += 1
        try:
            # An attempt is everybody's: who is cancelled takes it from nobody.
            await asyncio.wait([self._attempt])
        finally:
            self._waiting -= 1

    async def _open_lane(self) -> None:
        try:
            lane = Lane(await self._connect(), self._reply_seconds, self._lose)
            try:
                await self._events.before_use()
            except StoreUnavailable as error:
                lane.close(str(error))
                raise
        except StoreUnavailable as error:
            self._note_failure(str(error))
        else:
            self.lane = lane if lane.is_open else None
            self._was_lost = not lane.is_open
            self._failures = 0
            self._events.opened()
        finally:
            self._attempt = None

    def _lose(self, lane: Lane) -> None:
        if lane is self.lane:
            self.lane = None
            self._was_lost = True

    def _note_failure(self, why: str) -> None:
        pause = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
        self._not_before = asyncio.get_running_loop().time() + pause
        self._failures = min(self._failures + 1, 16)
        self._trouble = why
        self._events.doubted()
