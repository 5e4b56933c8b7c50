"""Reading a journal on from a place: from the store, and from the archive what left the store."""

from __future__ import annotations

from dataclasses import dataclass

from server.ledger import PartitionNotOpen
from server.ledger.journal.entries import JournalEntry, JournalReader
from server.ledger.journal.errors import BeyondRetention, EpochEnded
from server.ledger.journal.movement import Movement
from server.ledger.journal.past import ArchivedEntry, JournalSpan, Past
from server.ledger.journal.standing import Place, Standing, read_standing
from server.ledger.keys import partition_of
from server.storage.redis import Store


@dataclass(frozen=True, slots=True)
class Page:
    """Some movements, where they end, and whether more is there already."""

    movements: tuple[Movement, ...]
    place: Place
    more: bool


class JournalSource:
    """Reads journals in order, without gap or duplicate.

    All methods raise `LedgerUnavailable` and `LedgerDamaged`.
    """

    def __init__(self, store: Store, past: Past | None) -> None:
        self._store = store
        self._journal = JournalReader(store)
        self._past = past

    async def standing(self, tenant_id: str) -> Standing:
        """Read how an account stands, and at which place. Raises `AccountUnknown`."""
        found = await read_standing(self._store, tenant_id)
        return Standing(
            Place(partition_of(tenant_id), found.epoch, found.n, found.nonce),
            found.currency,
            found.available_micros,
            found.reserved_micros,
            found.debited_micros,
        )

    async def after(self, place: Place, *, limit: int, tenant_id: str = "") -> Page:
        """Read at most `limit` entries after a place; of one tenant only, if one is named.

        Raises `EpochEnded`, `BeyondRetention` and `ArchiveUnavailable`.
        """
        # The entry at the place is read again: it tells whether the journal is still the same.
        found = await self._journal.read(place.partition, from_n=place.n, limit=limit + 1)
        if not found:
            await self._explain_nothing(place)
        first = found[0]
        if first.epoch != place.epoch:
            raise EpochEnded
        if first.n == place.n:
            if first.nonce != place.nonce:
                raise EpochEnded
            return _page(place, found[1:], tenant_id, more=len(found) > limit)
        if first.n == place.n + 1 and first.previous_nonce == place.nonce:
            return _page(place, found[:limit], tenant_id, more=len(found) > limit)
        return await self._archived(place, first, limit=limit, tenant_id=tenant_id)

    async def _explain_nothing(self, place: Place) -> None:
        last = await self._journal.last(place.partition)
        if last is None:
            # Lost, and about to be filled anew; nothing is decided meanwhile either.
            raise PartitionNotOpen
        raise EpochEnded

    async def _archived(
        self, place: Place, first: JournalEntry, *, limit: int, tenant_id: str
    ) -> Page:
        """Read what lies between a place and the first entry that the store still has."""
        if self._past is None:
            raise BeyondRetention
        span = JournalSpan(
            place.partition, place.epoch, place.n, first.n, limit=limit, tenant_id=tenant_id
        )
        nonce, entries = await self._past.journal(span)
        if place.n and nonce is None:
            raise BeyondRetention
        if place.n and nonce != place.nonce:
            raise EpochEnded
        if len(entries) < limit:
            end = Place(place.partition, place.epoch, first.n - 1, first.previous_nonce)
        else:
            last = entries[-1]
            end = Place(place.partition, place.epoch, last.n, last.nonce)
        return Page(tuple(Movement(_restored(entry)) for entry in entries), end, more=True)


def _page(place: Place, entries: list[JournalEntry], tenant_id: str, *, more: bool) -> Page:
    movements = tuple(map(Movement, entries))
    if entries:
        last = entries[-1]
        place = Place(place.partition, last.epoch, last.n, last.nonce)
    if tenant_id:
        movements = tuple(one for one in movements if one.tenant_id == tenant_id)
    return Page(movements, place, more)


def _restored(entry: ArchivedEntry) -> JournalEntry:
    return JournalEntry(
        epoch=entry.epoch,
        n=entry.n,
        nonce=entry.nonce,
        previous_nonce=entry.previous_nonce,
        time_ms=entry.time_ms,
        # How short grants were then is of no use to anybody now.
        small_until_ms=0,
        kind=entry.kind,
        body=entry.body,
    )
