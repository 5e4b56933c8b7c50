"""Filling a partition anew whose store was lost, or that nobody opened yet."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from server.archive import (
    AccountImage,
    Archive,
    Entry,
    LotRow,
    PartitionReopened,
    Position,
    PositionMoved,
)
from server.archive.keeper.carrying import Carrying, new_nonce
from server.archive.keeper.drain import BATCH, ArchiveBehind, require_not_behind
from server.archive.keeper.entries import read_entry
from server.ledger import Balance
from server.ledger.journal.entries import JournalEntry, JournalReader
from server.ledger.maintenance import (
    KNOWN_MS,
    NOTHING_ARCHIVED,
    ArchivedPlace,
    AsideState,
    JournalEnd,
    Keeping,
    RestoredAccount,
    RestoredLot,
    is_long_known,
)
from server.ledger.requests import LONG_DUE_MS

# How often a journal may grow between the reading of its last entries and its closing.
_MOST_CLOSINGS = 100

_log = logging.getLogger(__name__)


class RebuildOvertaken(Exception):
    """Another rebuild of the same partition was faster; nothing was lost by this one."""


class Rebuild:
    """Fills partitions anew, each attempt under an epoch of its own.

    The archive lets one attempt begin an epoch, and every step in the store asks whether its
    epoch is still the newest. So an attempt that slept through another one changes nothing.
    `small_ms` is how long afterwards grants of the partition are short, so that calls which come
    back find their money.
    """

    def __init__(
        self,
        journal: JournalReader,
        keeping: Keeping,
        archive: Archive,
        *,
        now_ms: Callable[[], int],
        small_ms: int,
    ) -> None:
        self._journal = journal
        self._keeping = keeping
        self._archive = archive
        self._now_ms = now_ms
        self._small_ms = small_ms

    async def has_accounts(self, partition: int) -> bool:
        """Tell whether calls would be decided in a partition."""
        return await self._keeping.has_accounts(partition)

    async def is_open(self, partition: int) -> bool:
        """Tell whether a partition has its accounts' line and a journal."""
        if not await self.has_accounts(partition):
            return False
        return await self._journal.last(partition) is not None

    async def rebuild(self, partition: int, position: Position | None) -> Position:
        """Fill one partition from the archive, which stands at `position`; say where it stands now.

        Raises `RebuildOvertaken`, `PositionMoved` and what the ledger and the archive raise.
        """
        last = await self._journal.last(partition)
        was_open = position is not None or last is not None
        position = await self.shut(partition, position, last)
        state = await self._keeping.read_aside(partition)
        if state is not None:
            return await self._carry_over(partition, position, state)
        reopening = _reopening(position, self._now_ms())
        closed = await self._archive.close_partition(partition, position, reopening)
        await self._fill(partition, position.epoch, closed, had_calls=was_open)
        await self._reopen(
            partition, position, reopening, small_ms=self._small_ms if was_open else 0
        )
        if was_open:
            _log.warning(
                "Partition %d begins epoch %d with %d accounts from the archive.",
                partition,
                position.epoch,
                len(closed),
            )
        return Position(position.epoch, reopening.n, reopening.nonce)

    async def _carry_over(self, partition: int, position: Position, state: AsideState) -> Position:
        """Archive what a partition holds that lost its journal alone, and go on with all of it."""
        carrying = Carrying(self._archive, partition, state)
        entries = await carrying.entries(position)
        for start in range(0, len(entries), BATCH):
            some = entries[start : start + BATCH]
            position = await self._archive.append(partition, position, some, epoch=position.epoch)
        reopening = _reopening(position, max(self._now_ms(), carrying.time_ms))
        await self._archive.append(partition, position, [reopening], epoch=position.epoch)
        await self._reopen(partition, position, reopening, small_ms=0)
        _log.warning(
            "Partition %d had lost entries of its journal and begins epoch %d with all that it "
            "holds; the archive had not heard %d things of it.",
            partition,
            position.epoch,
            len(entries),
        )
        return Position(position.epoch, reopening.n, reopening.nonce)

    async def shut(
        self, partition: int, position: Position | None, last: JournalEntry | None
    ) -> Position:
        """Archive what the archive lacks, and empty a partition: nothing is decided in it then.

        `last` is the last entry of its journal. Says where the archive stands, and raises as
        `rebuild` does, which goes on from here.
        """
        await self._require_not_behind(partition, position)
        before = max(position.epoch if position else 0, last.epoch if last else 0)
        was = position
        position = await self._archive.append(partition, was, [], epoch=before + 1)
        archived = ArchivedPlace(was.epoch, was.n, was.nonce) if was else NOTHING_ARCHIVED
        if await self._keeping.set_aside(partition, epoch=position.epoch, archived=archived):
            return position
        return await self._close(partition, position)

    async def _require_not_behind(self, partition: int, position: Position | None) -> None:
        try:
            await require_not_behind(self._journal, partition, position)
        except ArchiveBehind:
            current = (await self._archive.positions()).get(partition)
            if current != position:
                raise PositionMoved(current) from None
            raise

    async def _close(self, partition: int, position: Position) -> Position:
        """Archive what the archive lacks, and empty the partition when nothing is left."""
        for _ in range(_MOST_CLOSINGS):
            end: JournalEnd | None = None
            async for entries in self._pages(partition):
                position = await self._archive_lacking(partition, position, entries)
                end = JournalEnd(entries[-1].n, entries[-1].nonce)
            if await self._keeping.close(partition, epoch=position.epoch, last=end):
                return position
            if (await self._archive.positions()).get(partition) != position:
                break
        raise RebuildOvertaken

    async def _pages(self, partition: int) -> AsyncIterator[list[JournalEntry]]:
        from_n = 0
        while entries := await self._journal.read(partition, from_n=from_n, limit=BATCH):
            yield entries
            from_n = entries[-1].n + 1

    async def _archive_lacking(
        self, partition: int, position: Position, entries: Sequence[JournalEntry]
    ) -> Position:
        names = [(entry.nonce, entry.previous_nonce) for entry in entries]
        known = await self._archive.known_nonces(partition, names)
        lacking = [
            read_entry(entry)
            for entry, name in zip(entries, names, strict=True)
            if name not in known
        ]
        if not lacking:
            return position
        numbered = [
            dataclasses.replace(entry, n=position.n + place)
            for place, entry in enumerate(lacking, start=1)
        ]
        return await self._archive.append(partition, position, numbered, epoch=position.epoch)

    async def _fill(
        self, partition: int, epoch: int, closed: Sequence[AccountImage], *, had_calls: bool
    ) -> None:
        # A record that stayed would tell what a call had paid before others told more.
        done = not had_calls or await self._keeping.drop_calls(partition, epoch=epoch)
        for image in closed:
            done = done and await self._keeping.restore(
                partition, epoch=epoch, account=restored(image, self._now_ms() - KNOWN_MS)
            )
        if not done:
            raise RebuildOvertaken

    async def _reopen(
        self, partition: int, position: Position, reopening: Entry, *, small_ms: int
    ) -> None:
        reopened = await self._keeping.reopen(
            partition,
            epoch=position.epoch,
            end=JournalEnd(reopening.n, reopening.nonce),
            previous_nonce=reopening.previous_nonce,
            now_ms=reopening.time_ms,
            small_until_ms=reopening.time_ms + small_ms,
        )
        if not reopened:
            raise RebuildOvertaken


def _reopening(position: Position, time_ms: int) -> Entry:
    return Entry(
        n=position.n + 1,
        nonce=new_nonce(),
        previous_nonce=position.nonce,
        time_ms=time_ms,
        kind="reopened",
        tenant_id="",
        body="",
        change=PartitionReopened(),
    )


def restored(image: AccountImage, known_since_ms: int = 0) -> RestoredAccount:
    """Say with what the ledger opens an account again, without what it would have forgotten."""
    account = image.account
    return RestoredAccount(
        balance=Balance(
            tenant_id=account.tenant_id,
            currency=account.currency,
            available_micros=image.available_micros,
            reserved_micros=0,
            funded_micros=account.funded_micros,
            debited_micros=account.debited_micros,
            expired_micros=account.expired_micros,
            refunded_micros=account.refunded_micros,
            voided_micros=account.voided_micros,
            post_paid_micros=account.post_paid_micros,
            owed_micros=image.owed_micros,
        ),
        prepaid=account.prepaid,
        digest=account.digest,
        version=account.version,
        lots=tuple(map(_restored_lot, filter(_has_something, image.lots))),
        tallies=image.tallies,
        frozen=account.frozen,
        credit_limit_micros=account.credit_limit_micros,
        freezing_ms=account.freezing_ms,
        limiting_ms=account.limiting_ms,
        known=tuple(
            made
            for made in (*map(_known_lot, image.lots), *image.movements)
            if not is_long_known(account.tenant_id, *made, since_ms=known_since_ms)
        ),
    )


def _known_lot(lot: LotRow) -> tuple[str, str]:
    voided = " voided" if lot.voided else ""
    return lot.lot_id, f"lot {lot.micros} {lot.expire_ms}{voided}"


def _has_something(lot: LotRow) -> bool:
    return lot.left_micros > 0


def _restored_lot(lot: LotRow) -> RestoredLot:
    expire_ms = LONG_DUE_MS if lot.voided else lot.expire_ms
    return RestoredLot(lot.lot_id, expire_ms, lot.purchase_ms, lot.left_micros, voided=lot.voided)
