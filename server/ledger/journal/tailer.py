"""The one part of a process that reads journals as they grow, for all who watch in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable

from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.journal.errors import BeyondRetention, EpochEnded, TailerStopped
from server.ledger.journal.follower import Follower
from server.ledger.journal.source import JournalSource
from server.ledger.journal.standing import Place, Standing
from server.ledger.journal.tail import Tail
from server.ledger.keys import partition_keys, partition_of
from server.storage.redis import WakeUps
from server.storage.sql.errors import ArchiveError

# A wake-up may be lost; its entries are found this much later.
POLL_SECONDS = 1.0
# Between two readings of a busy partition, so that many entries are handed over at once: the more
# follow, the longer, for each of them costs a write, and the more partitions are followed, for each
# costs a reading. `bench/watchers.py` and the items of `make bench` measure it.
REST_SECONDS_PER_FOLLOWER = 0.005
REST_SECONDS_PER_PARTITION = 0.002
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 0.02, 1.0
RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Tailer:
    """Reads the partitions that have followers: when woken, and now and then in any case."""

    def __init__(self, source: JournalSource, wake_ups: WakeUps) -> None:
        self._source = source
        self._wake_ups = wake_ups
        self._tails: dict[int, Tail] = {}
        self._by_channel: dict[str, Tail] = {}
        self._rest_seconds = SHORTEST_REST_SECONDS
        self._tasks: dict[int, asyncio.Task[None]] = {}
        # Two who join one partition at once join one tail.
        self._joining: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stopped = False

    @property
    def followers(self) -> int:
        """How many follow something now."""
        return len(set().union(*(tail.followers() for tail in self._tails.values())))

    def follower(self, name: str) -> Follower:
        """Make a follower; `name` tells it from others in logs."""
        return Follower(self, name)

    async def join(self, follower: Follower, tenant_id: str) -> Place:
        """Give a follower the tenant's entries from a place on. See `Follower.join`."""
        partition = partition_of(tenant_id)
        async with self._joining[partition]:
            standing = await self._source.standing(tenant_id)
            if self._stopped:
                raise TailerStopped
            tail = self._tails.get(partition)
            if tail is None:
                tail = self._begin(partition, standing.place)
            tail.add(follower, standing, tenant_id)
            self._set_rest()
            return tail.place

    def leave(self, follower: Follower, tenant_ids: Iterable[str]) -> None:
        """Give a follower no more of these tenants; a partition nobody follows is left alone."""
        for tenant_id in tenant_ids:
            partition = partition_of(tenant_id)
            tail = self._tails.get(partition)
            if tail is not None:
                tail.remove(follower, tenant_id)
                if not tail.is_followed:
                    self._finish(partition)
        self._set_rest()

    def standing_of(self, tenant_id: str) -> Standing | Place | None:
        """Say how far a tenant's partition is read, with how the account stands, if known."""
        tail = self._tails.get(partition_of(tenant_id))
        return tail.standing_of(tenant_id) if tail else None

    async def run(self) -> None:
        """Hear wake-ups, until cancelled; then read no more."""
        try:
            await self._wake_ups.run(self._wake)
        finally:
            self.stop()

    def stop(self) -> None:
        """Tell every follower that no more will come; they are ended by `TailerStopped`."""
        self._stopped = True
        for partition, tail in list(self._tails.items()):
            tail.end(TailerStopped())
            self._finish(partition)

    def _set_rest(self) -> None:
        wanted = REST_SECONDS_PER_FOLLOWER * self.followers
        wanted += REST_SECONDS_PER_PARTITION * len(self._tails)
        self._rest_seconds = min(LONGEST_REST_SECONDS, max(SHORTEST_REST_SECONDS, wanted))

    def _begin(self, partition: int, place: Place) -> Tail:
        channel = partition_keys(partition).journal
        tail = self._tails[partition] = self._by_channel[channel] = Tail(place)
        self._wake_ups.hear(channel)
        self._tasks[partition] = asyncio.create_task(self._follow(partition, tail))
        return tail

    def _finish(self, partition: int) -> None:
        channel = partition_keys(partition).journal
        self._wake_ups.forget(channel)
        del self._tails[partition], self._by_channel[channel]
        self._tasks.pop(partition).cancel()

    def _wake(self, channel: str) -> None:
        """Have a partition read, by its channel; all of them, where any may have grown unheard."""
        if channel in self._by_channel:
            self._by_channel[channel].woken.set()
        elif not channel:
            for tail in self._tails.values():
                tail.woken.set()

    async def _follow(self, partition: int, tail: Tail) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await tail.woken.wait()
            tail.woken.clear()
            try:
                while await tail.read(self._source):
                    await _let_take(tail, self._rest_seconds)
                await asyncio.sleep(self._rest_seconds)
            except (EpochEnded, BeyondRetention) as ended:
                tail.end(ended)
                self._finish(partition)
            except (LedgerUnavailable, LedgerDamaged, ArchiveError) as error:
                _log.debug("Partition %d is read later: %s", partition, error)
                await asyncio.sleep(RETRY_SECONDS)


async def _let_take(tail: Tail, at_most_seconds: float) -> None:
    """Wait until followers took what they were handed; for the slowest not for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_seconds):
            for follower in tail.followers():
                await follower.idle()
