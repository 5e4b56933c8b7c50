"""Comparing ledger, archive and reservations: what differs, and what would mend it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from server.archive import AccountImage, EntryUnfit, PaidCall, Position, PositionMoved
from server.archive.keeper.drain import ArchiveBehind, PartitionLost, read_following
from server.archive.keeper.entries import EntryUnknown, read_entry
from server.archive.keeper.keeper import KeeperParts
from server.archive.keeper.rebuild import RebuildOvertaken
from server.ledger.journal.entries import JournalEntry
from server.ledger.partition_audit import (
    AuditedAccount,
    Auditor,
    PartitionAudit,
    PartitionBusy,
    RememberedCall,
)
from server.storage.redis import TOLERANCE_SECONDS

_PAGE = 10_000
_MS = 1_000
# Of a partition that is archived while it is looked at; what differs each time does so for good.
_MOST_LOOKS = 5
_NOT_OPEN, _OPENING_SECONDS = "is not open in the store", 0.1


class Repair(StrEnum):
    """What would be done about a difference."""

    REBUILD = "fill the partition anew from the archive; running calls are announced again"
    EXPIRE = "none: the keeper takes it out of the index when it is due"
    RESTORE_ARCHIVE = "none here: bring back the archive's newest copy, then ask again"
    ASK_AGAIN = "none: ask again when less is going on"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that two places tell differently, in words, and its repair."""

    partition: int
    tenant_id: str
    text: str
    repair: Repair


class Doctor:
    """Examines partitions. Changes nothing, but for `repair`.

    Raises what the ledger and the archive raise.
    """

    def __init__(
        self, auditor: Auditor, parts: KeeperParts, tolerance_seconds: int = TOLERANCE_SECONDS
    ) -> None:
        """`tolerance_seconds` is how far a partition may be ahead of the clock."""
        self._auditor = auditor
        self._now_ms = parts.now_ms
        self._tolerance_ms = tolerance_seconds * _MS
        self._journal = parts.journal
        self._archive = parts.archive
        self._rebuild = parts.rebuild

    async def examine(self) -> list[Difference]:
        """Compare every partition that store or archive know of."""
        positions = await self._archive.positions()
        partitions = sorted({*positions, *await self._journal.partitions()})
        found: list[Difference] = []
        for partition in partitions:
            found += await self._examine(partition, positions.get(partition))
        return found

    async def repair(self, found: list[Difference]) -> list[int]:
        """Fill those partitions anew for which that is the repair; say which.

        Raises `PositionMoved` where the keeper archives faster than that.
        """
        sick = sorted({each.partition for each in found if each.repair is Repair.REBUILD})
        for partition in sick:
            with suppress(RebuildOvertaken):
                await self._fill_anew(partition)
        return sick

    async def _fill_anew(self, partition: int) -> None:
        for _ in range(_MOST_LOOKS - 1):
            # What is archived meanwhile only moves where to begin.
            with suppress(PositionMoved):
                await self._rebuild.rebuild(partition, await self._position(partition))
                return
        await self._rebuild.rebuild(partition, await self._position(partition))

    async def _examine(self, partition: int, position: Position | None) -> list[Difference]:
        found: list[Difference] = []
        for _ in range(_MOST_LOOKS):
            found = await self._look(partition, position)
            if not found:
                break
            newer = await self._position(partition)
            if newer == position and found[0].text != _NOT_OPEN:
                break
            if newer == position:
                # Whoever opens a partition tells the archive first.
                await asyncio.sleep(_OPENING_SECONDS)
            position = newer
        return found

    async def _look(self, partition: int, position: Position | None) -> list[Difference]:
        try:
            audit = await self._auditor.read(partition)
        except PartitionBusy:
            text = "changes faster than it can be read"
            return [Difference(partition, "", text, Repair.ASK_AGAIN)]
        if audit is None:
            return [Difference(partition, "", _NOT_OPEN, Repair.REBUILD)]
        remembered = await self._auditor.paid(partition)
        try:
            fresh = await self._waiting(partition, position, audit.n)
            entries = [read_entry(entry) for entry in fresh]
            preview = await self._archive.preview(partition, entries, list(remembered))
        except PartitionLost as lost:
            return [Difference(partition, "", f"was lost: {lost}", Repair.REBUILD)]
        except (ArchiveBehind, EntryUnfit, EntryUnknown) as error:
            return [Difference(partition, "", str(error), Repair.RESTORE_ARCHIVE)]
        found = [
            *self._time(partition, audit),
            *_reservations(partition, audit),
            *_paid_less(partition, remembered, preview.paid),
        ]
        accounts = {image.account.tenant_id: image for image in preview.accounts}
        for tenant_id in sorted({*audit.accounts, *accounts}):
            image = accounts.get(tenant_id)
            texts = [*_sums(audit.accounts.get(tenant_id), image), *_tallies(audit, image)]
            found += [Difference(partition, tenant_id, text, Repair.REBUILD) for text in texts]
        return found

    def _time(self, partition: int, audit: PartitionAudit) -> Iterator[Difference]:
        ahead_ms = audit.time_ms - self._now_ms()
        if ahead_ms > self._tolerance_ms:
            text = f"its time is {ahead_ms // _MS} s ahead: somebody wrote with a wrong clock"
            yield Difference(partition, "", text, Repair.REBUILD)

    async def _position(self, partition: int) -> Position | None:
        return (await self._archive.positions()).get(partition)

    async def _waiting(
        self, partition: int, position: Position | None, last_n: int
    ) -> list[JournalEntry]:
        """Read what the archive lacks, up to the entry at which the partition was read."""
        found: list[JournalEntry] = []
        from_n = position.n if position else 0
        while page := await self._journal.read(partition, from_n=from_n, limit=_PAGE):
            found += page
            from_n = page[-1].n + 1
        fresh = await read_following(self._journal, partition, position, found=found)
        return [entry for entry in fresh if entry.n <= last_n]


def _sums(account: AuditedAccount | None, image: AccountImage | None) -> Iterator[str]:
    for name in ("funded", "debited", "refunded", "expired", "voided"):
        here = getattr(account, name) if account else "unknown"
        there = getattr(image.account, f"{name}_micros") if image else "unknown"
        if here != there:
            yield f"{name} is {here} in the ledger, {there} in the archive"


def _tallies(audit: PartitionAudit, image: AccountImage | None) -> Iterator[str]:
    for field, done in image.tallies if image else ():
        # Those of past months are swept out of the ledger.
        debited, _ = audit.tallies.get(field, (done, 0))
        if debited != done:
            yield f"{field} is {debited} in the ledger, {done} in the archive"


def _paid_less(
    partition: int, remembered: Mapping[str, RememberedCall], archived: Mapping[str, PaidCall]
) -> Iterator[Difference]:
    for opened_id, call in sorted(remembered.items()):
        paid = archived.get(opened_id)
        if paid is not None and (call.seconds < paid.seconds or call.micros < paid.micros):
            text = (
                f"call {call.call_id} paid {call.micros} for {call.seconds} s in the ledger, "
                f"{paid.micros} for {paid.seconds} s in the archive: it would be debited again"
            )
            yield Difference(partition, "", text, Repair.REBUILD)


def _reservations(partition: int, audit: PartitionAudit) -> Iterator[Difference]:
    for tenant_id, account in sorted(audit.accounts.items()):
        micros = audit.held_micros[tenant_id], audit.held_unfunded[tenant_id]
        for text in _own_sums(account, *micros):
            yield Difference(partition, tenant_id, text, Repair.REBUILD)
    for field, (_, held) in sorted(audit.tallies.items()):
        if held != audit.held_tallies[field]:
            text = f"{field} holds {held}, the calls that run hold {audit.held_tallies[field]}"
            yield Difference(partition, "", text, Repair.REBUILD)
    for member in audit.lost_calls:
        text = f"{member} stands in the index of reservations and holds nothing"
        yield Difference(partition, "", text, Repair.EXPIRE)


def _own_sums(
    account: AuditedAccount, held_micros: int, held_unfunded_micros: int
) -> Iterator[str]:
    if account.unexplained:
        yield f"{account.unexplained} micros came in and are nowhere"
    if account.reserved != held_micros:
        yield f"reserved is {account.reserved}, the calls that run hold {held_micros}"
    funded = account.available + account.reserved - held_unfunded_micros
    if account.lots_left - account.owed != funded:
        yield f"lots hold {account.lots_left}, owed is {account.owed}, the balance is {funded}"
