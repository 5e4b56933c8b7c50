"""One reader of what a tailer reads: its own bounded queue of what others share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from server.ledger.journal.errors import FollowerTooSlow
from server.ledger.journal.movement import Movement
from server.ledger.journal.standing import Place, Standing

# Entries that a follower may leave untaken; then it is ended, so that memory stays bounded.
FOLLOWER_LIMIT = 1_000


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Batch:
    """Some movements of one tenant, the oldest first; one object for all who follow it.

    `place` is after the last of them. `standing` is how the account stands there, None where more
    entries are known to follow. `followers` are as many as are handed it.
    """

    tenant_id: str
    currency: str
    movements: tuple[Movement, ...]
    place: Place
    standing: Standing | None
    followers: int


class Follows(Protocol):
    """What a follower asks of its tailer."""

    async def join(self, follower: Follower, tenant_id: str) -> Place:
        """Give it the tenant's entries from a place on."""

    def leave(self, follower: Follower, tenant_ids: Iterable[str]) -> None:
        """Give it no more of them."""

    def standing_of(self, tenant_id: str) -> Standing | Place | None:
        """Say how far the tenant's partition is read, and how the account stands, if known."""


class Follower:
    """Gets all entries of the tenants it joined. Belongs to one task; made by `Tailer.follower`."""

    def __init__(self, tailer: Follows, name: str) -> None:
        self.name = name
        self._tailer = tailer
        self._tenant_ids: set[str] = set()
        self._batches: deque[Batch] = deque()
        self._end: Exception | None = None
        # Told at once, while what was handed over may still be taken.
        self.on_end: Callable[[Exception], None] = _ignore
        # Who waits for something to take.
        self._waiting: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        # Entries that were handed over and not taken.
        self.waiting = 0

    async def join(self, tenant_id: str) -> Place:
        """Follow one more tenant: all of its entries after the returned place will come.

        Raises `LedgerUnavailable`, `AccountUnknown` and `TailerStopped`.
        """
        place = await self._tailer.join(self, tenant_id)
        self._tenant_ids.add(tenant_id)
        return place

    async def next(self, timeout_seconds: float | None = None) -> Batch | None:
        """Take the next batch; None where nothing happened for so long.

        Batches of one tenant come in order. Raises `EpochEnded` and `TailerStopped` after all
        batches that came before them, `FollowerTooSlow` instead of those.
        """
        if not self._batches and self._end is None:
            await self._change(timeout_seconds)
        if self._batches:
            batch = self._batches.popleft()
            self.waiting -= len(batch.movements)
            if not self._batches:
                self._idle.set()
            return batch
        if self._end is not None:
            raise self._end
        return None

    def reached(self, tenant_id: str) -> Standing | Place | None:
        """Say up to where all entries of a joined tenant were taken; None while some wait.

        It is a `Standing` where it is known how the account stands there.
        """
        return None if self._batches else self._tailer.standing_of(tenant_id)

    def leave(self) -> None:
        """Stop following; to be called once, whatever ended it."""
        self._tailer.leave(self, self._tenant_ids)
        self._batches.clear()
        self._idle.set()

    def check(self) -> None:
        """Raise what ended the follower, if something did."""
        if self._end is not None:
            raise self._end

    def check_pace(self) -> None:
        """Raise `FollowerTooSlow` if that ended the follower."""
        if isinstance(self._end, FollowerTooSlow):
            raise self._end

    async def idle(self) -> None:
        """Wait until every batch was taken."""
        await self._idle.wait()

    def take(self, batch: Batch) -> bool:
        """Be handed a batch; say whether more may come."""
        if self._end is not None:
            # Of another tenant, say: it would be taken as if nothing were missing before it.
            return False
        if self.waiting + len(batch.movements) > FOLLOWER_LIMIT:
            self._batches.clear()
            self._idle.set()
            self.end(FollowerTooSlow())
            return False
        self._batches.append(batch)
        self._idle.clear()
        self.waiting += len(batch.movements)
        self._wake()
        return True

    def end(self, why: Exception) -> None:
        """Be told that no more will come."""
        if self._end is None:
            self._end = why
            self._wake()
            self.on_end(why)

    async def _change(self, timeout_seconds: float | None) -> None:
        """Wait until something is handed over, or it ends, or so long."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        # By hand: `asyncio.timeout` around an event costs more than the rest of the way.
        timer = None
        if timeout_seconds is not None:
            timer = loop.call_later(timeout_seconds, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _ignore(_: Exception) -> None:
    """Tell nobody."""
