"""One reader of what a tailer reads: its own bounded queue of what others share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.journal.movement import Movement
from server.journal.place import Place, Standing

if TYPE_CHECKING:
    from server.journal.tailer import Tailer

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


class Follower:
    """Gets all entries of the tenants it joined. Belongs to one task; made by `Tailer.follower`."""

    def __init__(self, tailer: Tailer, name: str) -> None:
        self.name = name

    async def join(self, tenant_id: str) -> Place:
        """Follow one more tenant: all of its entries after the returned place will come.

        Raises `LedgerUnavailable`.
        """
        raise NotImplementedError

    async def next(self, timeout_seconds: float | None = None) -> Batch | None:
        """Take the next batch; None where nothing happened for so long.

        Batches of one tenant come in order. Raises `FollowerTooSlow`, `EpochEnded` and
        `TailerStopped`, each after all batches that came before it.
        """
        raise NotImplementedError

    def place(self, tenant_id: str) -> Place:
        """Say up to where all entries of a joined tenant came, if no batch is left to take."""
        raise NotImplementedError

    def leave(self) -> None:
        """Stop following; to be called once, whatever ended it."""
        raise NotImplementedError
