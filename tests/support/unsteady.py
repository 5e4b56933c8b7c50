"""Stores whose servers change below those who ask: a slot that moves, a primary that is killed."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments import Cluster, Watched
from server.storage.redis import Store, StoreUnavailable
from server.storage.redis.lane import Argument, Reply

PATIENCE_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 0.02
# Between two moves of a slot.
_REST_SECONDS = 0.005
# Of a history that is cut by a fail-over: opened and asked already, and not yet over.
_COMMANDS_BEFORE_DEATH = 4


class PatientStore(Store):
    """Asks the same again while the store is away, as whoever got no answer does."""

    async def command(self, *parts: Argument) -> Reply:
        """Run one command, however long a fail-over takes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await super().command(*parts)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_ASK_AGAIN_SECONDS)


class CutStore(PatientStore):
    """Sees to it that its server dies before one of its commands."""

    def __init__(
        self, url: str, die: Callable[[], None], *, at: int = _COMMANDS_BEFORE_DEATH
    ) -> None:
        super().__init__(url)
        self._left, self._die = at, die

    async def command(self, *parts: Argument) -> Reply:
        """Run one command; before one of them, the server is killed."""
        self._left -= 1
        if self._left == 0:
            self._die()
        return await super().command(*parts)


class MovingSlot:
    """The slot of one key, carried from one primary of a cluster to the next, without end."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        self._cluster, self._key = cluster, key
        self.moves = 0

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Carry it around while the block lasts. Raises what a move raised."""
        over, trouble = threading.Event(), list[Exception]()
        carrier = threading.Thread(target=self._carry, args=(over, trouble))
        carrier.start()
        try:
            yield
        finally:
            over.set()
            carrier.join()
        if trouble:
            raise trouble[0]

    def _carry(self, over: threading.Event, trouble: list[Exception]) -> None:
        try:
            for target in itertools.cycle(self._cluster.nodes):
                if target is not self._cluster.owner_of(self._key):
                    self._cluster.move_slot_of(self._key, target)
                    self.moves += 1
                if over.wait(_REST_SECONDS):
                    return
        except Exception as error:  # noqa: BLE001 -- It is raised in the thread that waits.
            trouble.append(error)


class FailingOver:
    """A primary and its replica, of which the first may be killed again and again."""

    def __init__(self, watched: Watched) -> None:
        self.url = watched.url
        self._watched = watched
        self._primary, self._replica = watched.primary, watched.replica
        self.is_dead = False

    def kill(self) -> None:
        """Kill the primary, when its replica has all that was answered, and all know of it."""
        self._watched.until_led_by(self._primary, self._replica)
        self._primary.run("WAIT", 1, 5_000)
        self._watched.kill(self._primary)
        self.is_dead = True

    def heal(self) -> None:
        """Bring the dead one back as the replica of the other, once that is primary."""
        if not self.is_dead:
            return
        self._watched.until_promoted(self._replica)
        self._primary, self._replica = self._replica, self._primary
        self._replica.start("--replicaof", f"127.0.0.1 {self._primary.port}")
        self.is_dead = False
