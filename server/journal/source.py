"""Reading a journal on from a place: from the store, and from the archive what left the store."""

from __future__ import annotations

from server.archive import Archive
from server.journal.movement import Movement
from server.journal.place import Place, Standing
from server.ledger.journal import JournalReader
from server.store import Store


class JournalSource:
    """Reads journals in order, without gap or duplicate. Raises `LedgerUnavailable` throughout."""

    def __init__(self, store: Store, archive: Archive | None) -> None:
        self._store = store
        self._journal = JournalReader(store)
        self._archive = archive

    async def standing(self, tenant_id: str) -> Standing:
        """Read how an account stands, and at which place. Raises `AccountUnknown`."""
        raise NotImplementedError

    async def after(self, place: Place, *, limit: int, tenant_id: str = "") -> list[Movement]:
        """Read at most `limit` entries after a place; of one tenant only, if one is named.

        Raises `EpochEnded` and `BeyondRetention`.
        """
        raise NotImplementedError
