"""One reader of debits: first what it missed, then what happens, in one order without a seam."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from server.ledger.journal import (
    Batch,
    BeyondRetention,
    EpochEnded,
    Follower,
    FollowerTooSlow,
    JournalSource,
    Movement,
    Place,
    Standing,
    Tailer,
)
from server.ledger.keys import partition_of
from server.services.cursor import cursor_of
from server.services.debits.messages import snapshot_metadata, watch_response
from server.services.errors import CursorExpired, StoreEpochEnded, WatcherTooSlow

# Entries of one response while a reader catches up: some hundred kilobytes at the most.
PAGE = 500
# From so many on, one response is prepared for all of them: to compress it costs as much as to send
# it to a few.
MANY_FOLLOWERS = 4


@dataclass(frozen=True, slots=True)
class Watching:
    """What every stream is made from."""

    tailer: Tailer
    source: JournalSource
    # A reader hears something at least this often.
    checkpoint_seconds: float
    # Responses that many readers get are made once.
    made: WeakKeyDictionary[Batch, Any] = field(default_factory=WeakKeyDictionary)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose entries a reader wants: all of a tenant's, or those of one call."""

    tenant_id: str
    call_id: str

    def of(self, movements: Sequence[Movement]) -> Sequence[Movement]:
        """Choose what is wanted among a tenant's entries."""
        if not self.call_id:
            return movements
        return [movement for movement in movements if movement.call_id == self.call_id]


@dataclass(frozen=True, slots=True)
class Wire:
    """How a reader is written to. `share` makes of a response one that `write` takes of many."""

    write: Callable[[Any], Awaitable[None]]
    share: Callable[[bytes], Any]


class Stream:
    """One reader: how far it is, and how it goes on."""

    def __init__(
        self,
        watching: Watching,
        follower: Follower,
        wanted: Wanted,
        *,
        wire: Wire,
    ) -> None:
        self._watching = watching
        self._source = watching.source
        self._follower = follower
        self._wanted = wanted
        self._wire = wire
        self._currency = ""
        self._place = Place(partition_of(wanted.tenant_id), 0, 0)
        self._sent_at = asyncio.get_running_loop().time()
        self._patience: asyncio.Timeout | None = None
        follower.on_end = self._hurry

    async def run(self, cursor: Place | None, *, from_beginning: bool) -> None:
        """Stream until the follower ends, which it raises.

        Raises `CursorExpired`, `StoreEpochEnded` and `WatcherTooSlow`, each with what the reader
        needs to go on; `TailerStopped`, `AccountUnknown` and what ledger and archive raise.
        """
        try:
            await self._begin(cursor, from_beginning=from_beginning)
            while True:
                await self._go_on()
        except FollowerTooSlow as error:
            raise WatcherTooSlow(cursor_of(self._place)) from error
        except BeyondRetention as error:
            raise CursorExpired from error
        except EpochEnded as error:
            standing = await self._source.standing(self._wanted.tenant_id)
            raise StoreEpochEnded(snapshot_metadata(standing)) from error

    async def send_checkpoint(self) -> None:
        """Tell how far the reader is, and how the account stands there, if that is known."""
        reached = self._follower.reached(self._wanted.tenant_id)
        if reached is None or _place(reached).n < self._place.n:
            reached = self._place
        await self._send((), reached)

    async def _begin(self, cursor: Place | None, *, from_beginning: bool) -> None:
        standing = await self._source.standing(self._wanted.tenant_id)
        self._currency = standing.currency
        if cursor is None and not from_beginning:
            self._place = await self._follower.join(self._wanted.tenant_id)
            await self.send_checkpoint()
            return
        self._place = cursor or Place(standing.place.partition, standing.place.epoch, 0)
        while await self._catch_up(PAGE):
            continue
        await self._follower.join(self._wanted.tenant_id)
        await self._close_gap()

    async def _catch_up(self, limit: int) -> bool:
        """Send the next entries that were missed; say whether there are more."""
        self._follower.check()
        page = await self._source.after(self._place, limit=limit, tenant_id=self._wanted.tenant_id)
        movements = self._wanted.of(page.movements)
        if movements or self._is_overdue():
            await self._send(movements, page.place)
        self._place = page.place
        return page.more

    async def _close_gap(self) -> None:
        """Send what came before the follower joined, and then how the account stands."""
        standing = await self._source.standing(self._wanted.tenant_id)
        if standing.place.epoch != self._place.epoch:
            raise EpochEnded
        while self._place.n < standing.place.n:
            # Not a single entry more, or it would not be known how the account stands after it.
            await self._catch_up(min(PAGE, standing.place.n - self._place.n))
        await self._send((), standing if standing.place == self._place else self._place)

    async def _go_on(self) -> None:
        """Send what happens next; a checkpoint, where nothing did for a while."""
        batch = await self._follower.next(self._quiet_seconds())
        if batch is None:
            await self.send_checkpoint()
        elif batch.place.n > self._place.n:
            await self._send_batch(batch)

    async def _send_batch(self, batch: Batch) -> None:
        fresh = batch.movements[0].entry.n > self._place.n
        if fresh and not self._wanted.call_id:
            await self._put(self._shared(batch), batch.place)
            return
        movements = [
            movement
            for movement in self._wanted.of(batch.movements)
            if movement.entry.n > self._place.n
        ]
        if movements or self._is_overdue():
            await self._send(movements, batch.standing or batch.place)
        self._place = batch.place

    def _shared(self, batch: Batch) -> Any:
        """Make the response for a batch, or take the one that was made for another reader."""
        made = self._watching.made.get(batch)
        if made is None:
            reached = batch.standing or batch.place
            made = watch_response(batch.movements, reached, batch.currency)
            if batch.followers >= MANY_FOLLOWERS:
                made = self._wire.share(made)
            self._watching.made[batch] = made
        return made

    async def _send(self, movements: Sequence[Movement], reached: Standing | Place) -> None:
        response = watch_response(movements, reached, self._currency)
        await self._put(response, _place(reached))

    async def _put(self, response: Any, place: Place) -> None:
        self._follower.check_pace()
        # A response is on its way once it is handed over, also if the wait for it is given up.
        self._place = place
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._wire.write(response)
        except TimeoutError as error:
            raise FollowerTooSlow from error
        finally:
            self._patience = None
        self._sent_at = asyncio.get_running_loop().time()

    def _hurry(self, why: Exception) -> None:
        """Give a write up whose reader does not read."""
        if self._patience is not None and isinstance(why, FollowerTooSlow):
            self._patience.reschedule(asyncio.get_running_loop().time())

    def _quiet_seconds(self) -> float:
        since = asyncio.get_running_loop().time() - self._sent_at
        return max(0.0, self._watching.checkpoint_seconds - since)

    def _is_overdue(self) -> bool:
        return self._quiet_seconds() == 0.0


def _place(reached: Standing | Place) -> Place:
    return reached.place if isinstance(reached, Standing) else reached
