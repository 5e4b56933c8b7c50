"""The keeper: drains, expires, sweeps, rebuilds, while it holds the lease; else it waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.archive import Archive, EntryUnfit, Position, PositionMoved
from server.archive.keeper.drain import BATCH, ArchiveBehind, Drain, PartitionLost
from server.archive.keeper.entries import EntryUnknown
from server.archive.keeper.figures import Figures
from server.archive.keeper.inspection import Inspection
from server.archive.keeper.rebuild import Rebuild, RebuildOvertaken
from server.archive.keeper.sweep import Sweep, oldest_period
from server.ledger import Ledger, LedgerDamaged, LedgerUnavailable
from server.ledger.journal.entries import JournalReader
from server.ledger.maintenance import Keeping
from server.storage.sql.errors import ArchiveUnavailable
from server.storage.sql.gate import Gate

# Who does not renew its lease for this long is taken for dead.
LEASE_MS = 10_000
_LEASE_ROUND_SECONDS = 2.0
# Between two looks at which journals moved.
_DRAIN_PAUSE_SECONDS = 0.2
# One round in so many reads every journal, also what did not move: what was lost does not.
_ROUNDS_A_FULL_ONE = 10
_POSITIONS_ROUND_SECONDS = 1.0
# Batches of one partition in one round; then others, new ones among them, have their turn.
_MOST_PASSES = 10
_EXPIRE_ROUND_SECONDS = 1.0
# One round in so many looks at every partition, also at those in which nothing was held.
_EXPIRE_ROUNDS_A_FULL_ONE = 10
_EXPIRE_CALLS = 100
_SWEEP_ROUND_SECONDS = 3_600.0
# A partition that the archive does not know is looked for this often.
_DISCOVERY_ROUND_SECONDS = 30.0
_AWAY_ROUND_SECONDS = 0.5
# After a bug, which else would fill the log.
_BROKEN_PAUSE_SECONDS = 5.0
_INSPECTION_ROUND_SECONDS = 1.0
# What is inspected in a round; the others have their turn in the next ones. Of those that rest, in
# which nothing moves and nothing is held, one a round.
_INSPECTED_PARTITIONS, _INSPECTED_ACCOUNTS, _INSPECTED_AT_REST = 16, 1_000, 1
_HOLDER_BYTES = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeeperDuty:
    """One more thing to do, while this keeper leads. A store or archive that is away ends a round.

    Whatever else it raises is a bug, and ends the round too. What `of_machine` is done by every
    keeper, for no other one can. What has a `gate` is done only where that finds it due.
    """

    work: Callable[[], Awaitable[None]]
    pause_seconds: float
    of_machine: bool = False
    gate: Gate | None = None

    async def work_if_due(self) -> None:
        """Do it, if there may be something to do."""
        if self.gate is None:
            await self.work()
        else:
            await self.gate.passed(self.work)


class Keeper:
    """Does what nobody waits for. Several may run; all of it is safe when two work at once."""

    def __init__(
        self, parts: KeeperParts, figures: Figures, more: Sequence[KeeperDuty] = ()
    ) -> None:
        self._more = tuple(more)
        self.parts = parts
        self._drain = Drain(parts.journal, parts.keeping, parts.archive)
        self._sweep = Sweep(parts.keeping, parts.now_ms)
        self._inspection = Inspection(parts.keeping, parts.archive)
        # The partition that was inspected last.
        self._inspected = -1
        self._holder = secrets.token_hex(_HOLDER_BYTES)
        self._positions: dict[int, Position | None] = {}
        # Partitions that did not answer, looked at again now and then: nobody waits behind them.
        self._away: set[int] = set()
        # Partitions in which nothing is held, since when nothing was written in them.
        self._at_rest: set[int] = set()
        self._drain_rounds = self._expire_rounds = 0
        self._positions_gate = Gate(parts.archive.database)
        # Whether what is known of the archive is known to be old.
        self._overtaken = False
        self.figures = figures

    async def run(self) -> None:
        """Work until cancelled; then let the lease go, so that another need not wait for it."""
        duties = (
            self._forever(self.hold_lease, _LEASE_ROUND_SECONDS),
            self._forever(self._while_leading(self.discover), _DISCOVERY_ROUND_SECONDS),
            self._forever(self._while_leading(self._read_moved), _POSITIONS_ROUND_SECONDS),
            self._forever(self._while_leading(self._drain_moved), _DRAIN_PAUSE_SECONDS),
            self._forever(self._while_leading(self._expire_moving), _EXPIRE_ROUND_SECONDS),
            self._forever(self._while_leading(self.sweep), _SWEEP_ROUND_SECONDS),
            self._forever(self.look_for_away, _AWAY_ROUND_SECONDS),
            self._forever(self._while_leading(self._inspect_some), _INSPECTION_ROUND_SECONDS),
            *(
                self._forever(
                    each.work_if_due if each.of_machine else self._while_leading(each.work_if_due),
                    each.pause_seconds,
                )
                for each in self._more
            ),
        )
        try:
            await asyncio.gather(*duties)
        finally:
            with contextlib.suppress(LedgerUnavailable, LedgerDamaged):
                await self.parts.keeping.let_lease_go(self._holder)

    async def do_all(self) -> bool:
        """Do everything once, for who waits for it; say whether there was anything to archive."""
        await self.hold_lease()
        await self.discover()
        await self.read_positions()
        before = dict(self._positions)
        await self._drain_known()
        while await self.expire():
            continue
        for duty in self._more:
            await duty.work()
        await self._drain_known()
        if self._away:
            await self.look_for_away()
            raise LedgerUnavailable("a part of the store is away")
        return self._positions != before

    async def hold_lease(self) -> None:
        """Take the lease, or hold it for longer."""
        try:
            leads = await self.parts.keeping.hold_lease(self._holder, LEASE_MS)
        except LedgerUnavailable as error:
            # Other primaries may answer; that another keeper works as well harms nothing.
            if not self.figures.leads:
                _log.warning("This keeper works without the lease, which is away: %s", error)
            leads = True
        if leads and not self.figures.leads:
            _log.info("This keeper works now.")
            self.figures.leads = True
            await self.discover()
        self.figures.leads = leads

    async def discover(self) -> None:
        """Find partitions that the archive does not know of yet."""
        for partition in await self.parts.journal.partitions_within_reach():
            self._positions.setdefault(partition, None)

    async def drain(self) -> None:
        """Archive what waits in each partition; fill those anew that were lost, or lost a part."""
        await self.read_positions()
        await self._drain_known()
        await self.inspect()

    async def inspect(self) -> None:
        """Look at every partition for what it lost beside its journal, and mend it."""
        self._inspected = -1
        for _ in self._within_reach():
            await self._inspect_next()

    async def _inspect_some(self) -> None:
        inspected, at_rest = 0, _INSPECTED_AT_REST
        for _ in self._within_reach()[:_INSPECTED_PARTITIONS]:
            inspected += await self._inspect_next(at_rest=at_rest > 0)
            at_rest -= self._inspected in self._at_rest
            if inspected >= _INSPECTED_ACCOUNTS:
                return

    async def _inspect_next(self, *, at_rest: bool = True) -> int:
        """Inspect the next partition, one `at_rest` too or none; say how many accounts it has."""
        reached = self._within_reach()
        if not at_rest:
            reached = [partition for partition in reached if partition not in self._at_rest]
        if not reached:
            return 0
        partition = min([p for p in reached if p > self._inspected] or reached)
        self._inspected = partition
        position = self._positions.get(partition)
        if position is None:
            return 0
        try:
            lost, accounts = await self._inspection.look(
                partition, oldest_period(self.parts.now_ms())
            )
            if lost:
                await self._fill_anew(partition, position, lost)
        except LedgerUnavailable as error:
            self._note_away(partition, error)
        except (
            *(PositionMoved, RebuildOvertaken),
            *(ArchiveBehind, EntryUnknown, EntryUnfit, LedgerDamaged),
        ) as error:
            _log.info("Partition %d is inspected again later: %s", partition, error)
        else:
            return accounts
        return 0

    async def _read_moved(self) -> None:
        await self._positions_gate.passed(self.read_positions)

    async def _drain_moved(self) -> None:
        """Drain the partitions whose journals moved; now and then all of them."""
        self._drain_rounds += 1
        if self._drain_rounds % _ROUNDS_A_FULL_ONE == 0 or self._overtaken:
            await self._drain_known()
            return
        reached = self._within_reach()
        places = {each: place.n for each in reached if (place := self._positions[each])}
        moved = {*await self.parts.journal.moved(places), *(set(reached) - places.keys())}
        self._at_rest -= moved
        await self._drain_all_of(sorted(moved))

    def doubt(self) -> None:
        """Read every journal at the next look: the store may be another one than before."""
        self._drain_rounds = _ROUNDS_A_FULL_ONE - 1
        self._at_rest.clear()

    async def _drain_known(self) -> None:
        if self._overtaken:
            await self.read_positions()
        await self._drain_all_of(self._within_reach())

    async def _drain_all_of(self, busy: list[int]) -> None:
        for _ in range(_MOST_PASSES):
            # A batch each in turn: one that is never drained to its end keeps no other one waiting.
            busy = [partition for partition in busy if await self._drain_one(partition)]
            self.figures.look(self.parts.now_ms())
            if not busy:
                return

    async def _expire_moving(self) -> None:
        """Give back what lapsed where something is held; now and then look everywhere."""
        self._expire_rounds += 1
        if self._expire_rounds % _EXPIRE_ROUNDS_A_FULL_ONE == 0:
            self._at_rest.clear()
        for partition in self._within_reach():
            if partition in self._at_rest:
                continue
            await self._expire_in(partition)
            await self._let_rest(partition)

    async def _let_rest(self, partition: int) -> None:
        # Before it is asked: whoever finds that its journal moved meanwhile takes it away again.
        self._at_rest.add(partition)
        try:
            if await self.parts.keeping.holds_nothing(partition):
                return
        except LedgerUnavailable as error:
            self._note_away(partition, error)
        except LedgerDamaged as error:
            _log.error("What partition %d holds cannot be seen: %s", partition, error)
        self._at_rest.discard(partition)

    async def expire(self) -> int:
        """Give back what lapsed, a number of calls a partition; say of how many calls."""
        before = self.figures.expired_reservations
        for partition in self._within_reach():
            await self._expire_in(partition)
        return self.figures.expired_reservations - before

    async def _expire_in(self, partition: int) -> None:
        try:
            given_back = await self.parts.ledger.expire(partition, _EXPIRE_CALLS)
        except LedgerUnavailable as error:
            self._note_away(partition, error)
        except LedgerDamaged as error:
            _log.error("Nothing lapses in partition %d: %s", partition, error)
        else:
            self.figures.expired_reservations += given_back

    async def sweep(self) -> None:
        """Forget tallies that are long over."""
        for partition in self._within_reach():
            try:
                await self._sweep.sweep([partition])
            except LedgerUnavailable as error:
                self._note_away(partition, error)
            except LedgerDamaged as error:
                _log.error("Nothing is swept in partition %d: %s", partition, error)

    async def read_positions(self) -> None:
        """Read where the archive stands: partitions that others opened are among them."""
        try:
            self._positions |= await self.parts.archive.positions()
            self.figures.archive_up, self._overtaken = True, False
        except ArchiveUnavailable as error:
            if self.figures.archive_up:
                _log.error("The archive does not answer: %s", error)
            # The last positions show at least what waits.
            self.figures.archive_up = False

    async def _drain_one(self, partition: int) -> bool:
        """Drain a batch of one partition; what goes wrong there stops no other one.

        Says whether more is waiting than a batch took.
        """
        try:
            return await self._drain_or_note(partition)
        except LedgerUnavailable as error:
            self._note_away(partition, error)
            return False

    async def _drain_or_note(self, partition: int) -> bool:
        try:
            more = await self._drain_batch(partition)
            self.figures.note_trouble(partition, "")
            return more
        except (PositionMoved, RebuildOvertaken):
            # Somebody else works here too; the next round begins where that one ended.
            self._overtaken = True
            return False
        except ArchiveUnavailable:
            await self._note_waiting(partition)
        except (ArchiveBehind, EntryUnfit, EntryUnknown, LedgerDamaged) as error:
            self.figures.note_trouble(partition, str(error))
            await self._note_waiting(partition)
        return False

    async def _drain_batch(self, partition: int) -> bool:
        before = self._positions[partition]
        try:
            drained = await self._drain.drain(partition, before)
        except PartitionLost as lost:
            await self._fill_anew(partition, before, str(lost))
            return True
        self._positions[partition] = drained.position
        if drained.taken:
            self._at_rest.discard(partition)
        if before and drained.position:
            self.figures.entries_archived += drained.position.n - before.n
        self.figures.note_waiting(partition, drained.waiting, drained.oldest_ms)
        return drained.waiting > 0 and drained.taken == BATCH

    async def _fill_anew(self, partition: int, position: Position | None, why: str) -> None:
        _log.error("Partition %d is filled anew: %s.", partition, why)
        self._at_rest.discard(partition)
        self._positions[partition] = await self.parts.rebuild.rebuild(partition, position)
        self.figures.partitions_rebuilt += 1

    async def _note_waiting(self, partition: int) -> None:
        position = self._positions[partition]
        found = await self.parts.journal.read(
            partition, from_n=position.n + 1 if position else 0, limit=1
        )
        waiting = await self.parts.journal.length(partition) - bool(position)
        self.figures.note_waiting(partition, waiting, found[0].time_ms if found else None)

    def _within_reach(self) -> list[int]:
        return sorted(self._positions.keys() - self._away)

    def _note_away(self, partition: int, error: LedgerUnavailable) -> None:
        if not self._away:
            _log.error("Partitions of the store do not answer, partition %d: %s", partition, error)
        self._away.add(partition)

    async def look_for_away(self) -> None:
        """Look which of the partitions that were away answer again, at all of them at once."""
        away = sorted(self._away)
        looks = (self.parts.journal.length(partition) for partition in away)
        found = await asyncio.gather(*looks, return_exceptions=True)
        self._away.difference_update(
            partition
            for partition, length in zip(away, found, strict=True)
            if not isinstance(length, LedgerUnavailable)
        )
        if away and not self._away:
            _log.info("Every partition of the store answers.")

    def _while_leading(
        self, duty: Callable[[], Awaitable[object]]
    ) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            if self.figures.leads:
                await duty()

        return work

    async def _forever(self, duty: Callable[[], Awaitable[object]], pause_seconds: float) -> None:
        while True:
            await self.round(duty)
            await asyncio.sleep(pause_seconds)

    async def round(self, duty: Callable[[], Awaitable[object]]) -> None:
        """Do a duty once; a store or an archive that is away ends it early, and so does a bug."""
        try:
            await duty()
        except (LedgerUnavailable, ArchiveUnavailable, LedgerDamaged) as error:
            _log.debug("A round ended early: %s", error)
        except Exception:  # noqa: BLE001 -- What others wait for goes on.
            _log.exception("A duty broke, and begins anew.")
            await asyncio.sleep(_BROKEN_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What a keeper works with."""

    ledger: Ledger
    journal: JournalReader
    keeping: Keeping
    archive: Archive
    rebuild: Rebuild
    now_ms: Callable[[], int]
