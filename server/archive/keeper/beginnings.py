"""Which accounts and opening balances began: none begins again because a store has lost it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from server.archive import AccountDescribed, Archive, LotAdded, Position
from server.archive.keeper.drain import ArchiveBehind, PartitionLost, read_following
from server.archive.keeper.entries import read_entry
from server.ledger.journal.entries import JournalEntry, JournalReader
from server.ledger.redis_ledger import Beginning

_PAGE = 10_000
# What was not asked for so long is forgotten: it matters while accounts are opened.
_REMEMBERED_SECONDS = 60.0


class AccountLost(Exception):
    """The store has lost an account, or what it knows of its opening balance."""


@dataclass(slots=True)
class _Known:
    """What began in a partition, up to entry `n` of its journal."""

    epoch: int
    n: int
    nonce: str
    begun: set[Beginning]
    asked_at: float = 0.0

    @property
    def place(self) -> str:
        return f"{self.epoch} {self.n} {self.nonce}"

    def take(self, entry: JournalEntry) -> None:
        self.epoch, self.n, self.nonce = entry.epoch, entry.n, entry.nonce
        told = read_entry(entry)
        match told.change:
            case AccountDescribed():
                self.begun.add((told.tenant_id, ""))
            case LotAdded(lot_id=lot_id):
                self.begun.add((told.tenant_id, lot_id))
            case _:
                pass


class Beginnings:
    """Knows what began by archive and journal, for as long as accounts are opened."""

    def __init__(self, journal: JournalReader, archive: Archive) -> None:
        self._journal = journal
        self._archive = archive
        self._known: dict[int, _Known] = {}

    def place(self, partition: int) -> str:
        """Name the place up to which this is known; "" for nowhere."""
        known = self._known.get(partition)
        return known.place if known else ""

    async def look(self, partition: int, begun: Sequence[Beginning]) -> str:
        """Name a place up to which nothing of this began.

        Raises `AccountLost`, and what `following`, `read_entry`, archive and ledger raise.
        """
        known = self._known.get(partition)
        if known is None or not await self._goes_on(partition, known):
            known = self._known[partition] = await self._read(partition)
        known.asked_at = time.monotonic()
        self._forget()
        for tenant_id, lot_id in begun:
            if (tenant_id, lot_id) in known.begun:
                what = f"what is known of its lot {lot_id}" if lot_id else "it"
                raise AccountLost(f"the store has lost the account of {tenant_id}, or {what}")
        return known.place

    def note(self, partition: int, begun: Sequence[Beginning], *, before: str, after: str) -> None:
        """Take note of what began between two places, if nothing is known to have come between."""
        known = self._known.get(partition)
        if known is None or known.place != before:
            return
        epoch, n, nonce = after.split(" ")
        known.epoch, known.n, known.nonce = int(epoch), int(n), nonce
        known.begun.update(begun)

    async def _goes_on(self, partition: int, known: _Known) -> bool:
        """Read what was written since; False where the journal does not go on from there."""
        while True:
            found = await self._journal.read(partition, from_n=known.n, limit=_PAGE)
            if not found or (found[0].epoch, found[0].n, found[0].nonce) != (
                known.epoch,
                known.n,
                known.nonce,
            ):
                return False
            for entry in found[1:]:
                known.take(entry)
            if len(found) < _PAGE:
                return True

    async def _read(self, partition: int) -> _Known:
        while True:
            position, begun = await self._archive.begun(partition)
            try:
                return await self._read_from(partition, position, begun)
            except (ArchiveBehind, PartitionLost):
                # Perhaps only this reading is old: somebody else may have worked meanwhile.
                if (await self._archive.positions()).get(partition) == position:
                    raise

    async def _read_from(
        self, partition: int, position: Position | None, begun: Sequence[Beginning]
    ) -> _Known:
        known = _Known(position.epoch, position.n, position.nonce, set(begun)) if position else None
        found = await self._journal.read(
            partition, from_n=position.n if position else 0, limit=_PAGE
        )
        fresh = await read_following(self._journal, partition, position, found=found)
        if known is None:
            known = _Known(0, 0, "-", set())
        for entry in fresh:
            known.take(entry)
        if len(found) == _PAGE:
            await self._goes_on(partition, known)
        return known

    def _forget(self) -> None:
        oldest = time.monotonic() - _REMEMBERED_SECONDS
        for partition in [key for key, known in self._known.items() if known.asked_at < oldest]:
            del self._known[partition]
