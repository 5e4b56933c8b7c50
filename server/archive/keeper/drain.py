"""Draining: what the ledger wrote down goes into the archive, exactly once, and is then trimmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.archive import Archive, CallChange, Entry, Position, PositionMoved
from server.archive.keeper.entries import read_entry
from server.ledger.journal.entries import NEVER, JournalEntry, JournalReader
from server.ledger.keys import call_key, other_gateway_key
from server.ledger.maintenance import Keeping
from server.ledger.requests import CallKey
from server.storage.redis.references import call_reference

# Entries of one transaction: enough to be cheap, few enough to be soon over.
BATCH = 1_000
# A call that is over answers late questions this long after its end is archived.
BURIED_AFTER_MS = 15 * 60 * 1_000


def named_places(first: int, last: int) -> str:
    """Name entries of which something is told."""
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


class PartitionLost(Exception):
    """The store lost this partition or its tail: it is to be filled anew from the archive."""


class JournalCut(PartitionLost):
    """Entries are gone from the middle of a journal; `before` are the fresh ones before those."""

    def __init__(self, before: list[JournalEntry], first: int, last: int) -> None:
        super().__init__(f"{named_places(first, last)} gone from the middle of its journal")
        self.before = before


class ArchiveBehind(Exception):
    """The store knows what the archive should know and does not; an operator has to look.

    Nothing is filled anew from an archive that was lost, or restored from an old copy.
    """


@dataclass(frozen=True, slots=True)
class Drained:
    """Where a partition stands after a round."""

    position: Position | None
    # Entries that this round archived.
    taken: int
    # Entries that are not archived yet.
    waiting: int
    # The time of the oldest entry that was found waiting; None where nothing waited.
    oldest_ms: int | None


class Drain:
    """Drains partitions. Each round is safe when somebody else drains the same one."""

    def __init__(self, journal: JournalReader, keeping: Keeping, archive: Archive) -> None:
        self._journal = journal
        self._keeping = keeping
        self._archive = archive

    async def drain(self, partition: int, position: Position | None) -> Drained:
        """Archive the next entries after `position`, then trim what is archived.

        Raises `PartitionLost`, `ArchiveBehind`, `PositionMoved` where somebody else archived
        meanwhile, and what the ledger and the archive raise.
        """
        found = await self._journal.read(
            partition, from_n=position.n if position else 0, limit=BATCH + 1
        )
        fresh = await self._joined(partition, position, found)
        if not fresh:
            return Drained(position, 0, 0, None)
        entries = [read_entry(entry) for entry in fresh]
        moved = await self._archive.append(partition, position, entries, epoch=fresh[0].epoch)
        await self._keeping.trim(partition, epoch=moved.epoch, n=moved.n, nonce=moved.nonce)
        await self._keeping.bury(_calls_over(entries), BURIED_AFTER_MS)
        # The last archived entry stays in the journal.
        waiting = await self._journal.length(partition) - 1
        return Drained(moved, len(fresh), waiting, fresh[0].time_ms)

    async def _joined(
        self, partition: int, position: Position | None, found: list[JournalEntry]
    ) -> list[JournalEntry]:
        """Give the entries that follow `position`, if they do."""
        try:
            return await read_following(self._journal, partition, position, found=found)
        except (PartitionLost, ArchiveBehind) as trouble:
            if isinstance(trouble, JournalCut) and trouble.before:
                # What stands before the gap is archived as ever; the next round tells of it.
                return trouble.before
            # Perhaps only this reading is old: somebody else may have worked meanwhile.
            current = (await self._archive.positions()).get(partition)
            if current != position:
                raise PositionMoved(current) from None
            raise


async def read_following(
    journal: JournalReader,
    partition: int,
    position: Position | None,
    *,
    found: list[JournalEntry],
) -> list[JournalEntry]:
    """Give what follows `position` in a journal that was read from there on.

    Tells an archive that is behind from a journal that was lost, by what the store has noted of
    what was archived. Raises `PartitionLost` and `ArchiveBehind`.
    """
    last = found[-1] if found else await journal.last(partition)
    try:
        return following(position, found, last)
    except (ArchiveBehind, PartitionLost) as trouble:
        archived = await require_not_behind(journal, partition, position)
        if position and archived > NEVER and found and found[0].n > position.n:
            raise PartitionLost(
                f"its journal begins at {found[0].n}, but nothing after {position.n} was archived"
            ) from trouble
        raise


async def require_not_behind(
    journal: JournalReader, partition: int, position: Position | None
) -> tuple[int, int]:
    """Say what the store has noted as archived; raise `ArchiveBehind` if the archive lacks it."""
    archived = await journal.archived_place(partition)
    here = (position.epoch, position.n) if position else NEVER
    if archived > here:
        raise ArchiveBehind(
            f"archived is entry {here[1]} of epoch {here[0]}, but entry {archived[1]} of epoch "
            f"{archived[0]} was"
        )
    return archived


def following(
    position: Position | None, found: list[JournalEntry], last: JournalEntry | None
) -> list[JournalEntry]:
    """Give what follows `position` in a journal read from there on; `last` is its last entry.

    Raises `PartitionLost` and `ArchiveBehind`.
    """
    if position is None:
        return _from_the_beginning(found)
    if last is None:
        raise PartitionLost("there is no journal")
    if last.epoch < position.epoch:
        raise PartitionLost(f"epoch {last.epoch}, archived is {position.epoch}")
    if last.epoch > position.epoch:
        raise ArchiveBehind(f"archived is epoch {position.epoch}, the journal has {last.epoch}")
    if last.n < position.n:
        raise PartitionLost(f"the journal ends at {last.n}, archived is {position.n}")
    if found[0].n > position.n:
        raise ArchiveBehind(f"archived is {position.n}, the journal begins at {found[0].n}")
    if found[0].nonce != position.nonce:
        raise PartitionLost(f"entry {position.n} is another one than was archived")
    _require_chain(found, fresh_from=1)
    return found[1:]


def _from_the_beginning(found: list[JournalEntry]) -> list[JournalEntry]:
    if found and (found[0].n, found[0].previous_nonce) != (1, "-"):
        raise ArchiveBehind(f"nothing is archived, the journal begins at {found[0].n}")
    _require_chain(found, fresh_from=0)
    return found


def _require_chain(found: list[JournalEntry], *, fresh_from: int) -> None:
    for index, (before, entry) in enumerate(pairwise(found), start=1):
        if entry.epoch == before.epoch and entry.n > before.n + 1:
            raise JournalCut(found[fresh_from:index], before.n + 1, entry.n - 1)
        joins = (entry.epoch, entry.n) == (before.epoch, before.n + 1)
        if not joins or entry.previous_nonce != before.nonce:
            raise PartitionLost(f"entry {entry.n} does not follow entry {before.n}")


def _calls_over(entries: Sequence[Entry]) -> list[str]:
    over = {
        CallKey(entry.tenant_id, entry.change.gateway_id, entry.change.call_id)
        for entry in entries
        if isinstance(entry.change, CallChange) and entry.change.state.is_over
    }
    return [key for call in over for key in _keys_of(call)]


def _keys_of(call: CallKey) -> tuple[str, str]:
    # Another gateway may have its id by now; then its record was set aside.
    reference = call_reference(call.tenant_id, call.call_id)
    return call_key(call.tenant_id, reference), other_gateway_key(call)
