"""One reader of what a tailer reads: its own bounded queue of what others share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from server.journal.movement import Movement
from server.journal.place import Place, Standing
from server.journal.trouble import FollowerTooSlow

# Entries that a follower may leave untaken; then it is ended, so that memory stays bounded.
FOLLOWER_LIMIT = 1_000


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Batch:
    """Some movements of one tenant, the oldest first; one object for all who follow it.

    `place` is after the last of them. `standing` is how the account stands there, None where more
    entries are known to follow.
    """

    tenant_id: str
    movements: tuple[Movement, ...]
    place: Place
    standing: Standing | None


class Follows(Protocol):
    """What a follower asks of its tailer."""

    async def join(self, follower: Follower, tenant_id: str) -> Place:
        """Give it the tenant's entries from a place on."""

    def leave(self, follower: Follower, tenant_ids: Iterable[str]) -> None:
        """Give it no more of them."""

    def place_of(self, tenant_id: str) -> Place | None:
        """Say how far the tenant's partition is read; None where it is no longer."""


class Follower:
    """Gets all entries of the tenants it joined. Belongs to one task; made by `Tailer.follower`."""

    def __init__(self, tailer: Follows, name: str) -> None:
        self.name = name
        self._tailer = tailer
        self._tenant_ids: set[str] = set()
        self._batches: deque[Batch] = deque()
        self._end: Exception | None = None
        self._changed = asyncio.Event()
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

        Batches of one tenant come in order. Raises `FollowerTooSlow`, `EpochEnded` and
        `TailerStopped`, each after all batches that came before it.
        """
        if not self._batches and self._end is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if self._batches:
            batch = self._batches.popleft()
            self.waiting -= len(batch.movements)
            if not self._batches:
                self._idle.set()
            return batch
        assert self._end is not None, "a follower is told when something changed"
        raise self._end

    def place(self, tenant_id: str) -> Place | None:
        """Say up to where all entries of a joined tenant were taken; None while some wait."""
        return None if self._batches else self._tailer.place_of(tenant_id)

    def leave(self) -> None:
        """Stop following; to be called once, whatever ended it."""
        self._tailer.leave(self, self._tenant_ids)
        self._batches.clear()
        self._idle.set()

    async def idle(self) -> None:
        """Wait until every batch was taken."""
        await self._idle.wait()

    def take(self, batch: Batch) -> bool:
        """Be handed a batch; say whether more may come."""
        if self.waiting + len(batch.movements) > FOLLOWER_LIMIT:
            self.end(FollowerTooSlow())
            self._idle.set()
            return False
        self._batches.append(batch)
        self._idle.clear()
        self.waiting += len(batch.movements)
        self._changed.set()
        return True

    def end(self, why: Exception) -> None:
        """Be told that no more will come."""
        self._end = self._end or why
        self._changed.set()
