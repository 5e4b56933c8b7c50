"""The archive: what must outlive Redis, written once however often it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection, and_, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from server.archive import tables
from server.archive.book import Book, CallId, CallRow, UseRow
from server.archive.calls import ArchivedCall, SoughtCall, find_call
from server.archive.changes import Entry, Position
from server.archive.errors import EntryUnfit, PositionMoved
from server.archive.fold import fold_entry, settle_lost
from server.archive.images import AccountImage, Preview, image_of, paid_of
from server.archive.known import ArchivedAccount, list_accounts
from server.archive.rows import (
    load_book,
    load_calls,
    load_named_calls,
    load_partition,
    store_book,
)
from server.archive.usage_records import Origin
from server.ledger.journal.past import ArchivedEntry, JournalSpan
from server.storage.sql.database import Database
from server.storage.sql.rows import insert_once, plain_row


def read_span(connection: Connection, span: JournalSpan) -> tuple[str | None, list[ArchivedEntry]]:
    """Read a span, and the nonce of the entry at `after_n`; None where that one is not archived."""
    journal = tables.JOURNAL.c
    here = (journal.partition == span.partition, journal.epoch == span.epoch)
    nonce: str | None = connection.scalar(
        select(journal.nonce).where(*here, journal.n == span.after_n)
    )
    query = select(*(journal[name] for name in ArchivedEntry.__slots__)).where(
        *here, journal.n > span.after_n, journal.n < span.before_n
    )
    if span.tenant_id:
        query = query.where(journal.tenant_id == span.tenant_id)
    rows = connection.execute(query.order_by(journal.n).limit(span.limit))
    return nonce, [ArchivedEntry(*row) for row in rows]


# Where a partition stands of which nothing is archived: before the first entry of any epoch.
NOWHERE = Position(0, 0, "-")


class Archive:
    """Keeps journal, accounts, calls and usage records in SQL.

    All methods raise `ArchiveUnavailable`; who writes for a partition says where it thinks that the
    archive stands, and nothing is written where it stands elsewhere (`PositionMoved`).
    """

    def __init__(self, database: Database, watchers: Sequence[Watcher] = ()) -> None:
        self._database = database
        self._watchers = tuple(watchers)
        self._runs: set[str] = set()

    @property
    def database(self) -> Database:
        """Where it is kept, for what is kept beside it in the same transactions."""
        return self._database

    async def migrate(self) -> None:
        """Bring the tables up to date. Raises `ArchiveUnusable`."""
        await self._database.migrate()

    async def close(self) -> None:
        """Wait for what is under way and close all connections."""
        await self._database.close()

    async def positions(self) -> dict[int, Position]:
        """Say how far each partition is archived."""
        return await self._database.read(_read_positions)

    async def count_runs(self, run_ids: Iterable[str]) -> int:
        """Take note of runs of the store; say how many were ever seen."""
        fresh = set(run_ids) - self._runs
        if fresh:

            def note(connection: Connection) -> None:
                for run_id in sorted(fresh):
                    insert_once(connection, tables.STORE_RUNS, {"run_id": run_id})

            await self._database.write(note)
            self._runs |= fresh
        return await self._database.read(_count_runs)

    async def append(
        self, partition: int, expected: Position | None, entries: Sequence[Entry], *, epoch: int
    ) -> Position:
        """Archive entries of one partition, in the transaction that moves its position.

        `expected` is where the archive stands, None where it knows nothing of the partition.
        `epoch` is under which the entries are archived: that of `expected`, or one that begins with
        them. Returns the new position.
        """

        def work(connection: Connection) -> Position:
            _require_position(connection, partition, expected)
            position = replace(expected or NOWHERE, epoch=epoch)
            if entries:
                self._write(connection, partition, entries, epoch=epoch)
                position = Position(epoch, entries[-1].n, entries[-1].nonce)
            _move(connection, partition, expected, to=position)
            return position

        return await self._database.write(work)

    async def close_partition(
        self, partition: int, expected: Position, reopening: Entry
    ) -> tuple[AccountImage, ...]:
        """Close the books of a lost store, and say what its accounts are to be opened with.

        `reopening` is the entry with which its journal will begin again.
        """

        def work(connection: Connection) -> tuple[AccountImage, ...]:
            _require_position(connection, partition, expected)
            book = load_partition(connection, partition)
            origin = Origin(partition, expected.epoch, reopening.n, reopening.time_ms)
            lost = settle_lost(book, origin)
            store_book(connection, book)
            for watch in [watcher(connection, []) for watcher in self._watchers]:
                watch.see_lost(lost, reopening.time_ms)
                watch.finish()
            _write_journal(connection, partition, [reopening], epoch=expected.epoch)
            position = Position(expected.epoch, reopening.n, reopening.nonce)
            _move(connection, partition, expected, to=position)
            return image_of(book)

        return await self._database.write(work)

    async def known_nonces(
        self, partition: int, nonces: Sequence[tuple[str, str]]
    ) -> set[tuple[str, str]]:
        """Say which of these entries, named by their nonce and the one before, are archived."""
        journal = tables.JOURNAL.c
        query = select(journal.nonce, journal.previous_nonce).where(
            journal.partition == partition,
            tuple_(journal.nonce, journal.previous_nonce).in_(nonces),
        )
        return await self._database.read(
            lambda connection: {(row[0], row[1]) for row in connection.execute(query)}
        )

    async def journal(self, span: JournalSpan) -> tuple[str | None, list[ArchivedEntry]]:
        """Read archived entries, and the nonce of the one before them; None: it is not archived."""
        return await self._database.read(lambda connection: read_span(connection, span))

    async def find_call(self, sought: SoughtCall) -> ArchivedCall | None:
        """Find what was debited for a call, whatever became of it."""
        return await self._database.read(lambda connection: find_call(connection, sought))

    async def calls(
        self, named: Sequence[CallId]
    ) -> dict[CallId, tuple[CallRow, tuple[UseRow, ...]]]:
        """Find calls by tenant and the decision that began each, and what their purses paid."""

        def work(connection: Connection) -> dict[CallId, tuple[CallRow, tuple[UseRow, ...]]]:
            book = Book()
            load_named_calls(connection, book, named)
            return {name: (call, tuple(book.uses_of(call))) for name, call in book.calls.items()}

        return await self._database.read(work)

    async def usage(self, tenant_id: str, *, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
        """List usage records of calls that ended from `from_ms` on, and before `to_ms`."""
        records = tables.USAGE_RECORDS
        query = (
            select(records)
            .where(
                records.c.tenant_id == tenant_id,
                records.c.end_ms >= from_ms,
                records.c.end_ms < to_ms,
            )
            .order_by(records.c.end_ms, records.c.usage_id)
        )
        return await self._database.read(
            lambda connection: list(map(plain_row, connection.execute(query).mappings()))
        )

    async def begun(self, partition: int) -> tuple[Position | None, list[tuple[str, str]]]:
        """Say how far a partition is archived, and which accounts and lots began up to there.

        An account is (tenant, ""), a lot (tenant, lot).
        """

        def work(connection: Connection) -> tuple[Position | None, list[tuple[str, str]]]:
            accounts, lots = tables.ACCOUNTS.c, tables.LOTS.c
            here = accounts.partition == partition
            tenants = list(connection.scalars(select(accounts.tenant_id).where(here)))
            query = select(lots.tenant_id, lots.lot_id).join(
                tables.ACCOUNTS, accounts.tenant_id == lots.tenant_id
            )
            found = [(row[0], row[1]) for row in connection.execute(query.where(here))]
            position = _read_positions(connection).get(partition)
            return position, [*((tenant_id, "") for tenant_id in tenants), *found]

        return await self._database.read(work)

    async def accounts(self, partition: int) -> list[ArchivedAccount]:
        """List the accounts of a partition, and by which names a store knows them."""
        return await self._database.read(lambda connection: list_accounts(connection, partition))

    async def tenant_ids(self) -> list[str]:
        """List the tenants that have an account."""
        query = select(tables.ACCOUNTS.c.tenant_id).order_by(tables.ACCOUNTS.c.tenant_id)
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    async def preview(
        self, partition: int, entries: Sequence[Entry], opened_ids: Sequence[str] = ()
    ) -> Preview:
        """Say what would be known if these entries were archived; writes nothing.

        Of calls what is known of those that these decisions began.
        """

        def work(connection: Connection) -> Preview:
            book = load_partition(connection, partition)
            load_calls(connection, book, opened_ids)
            book.take_over(load_book(connection, entries))
            for _ in _fold(book, partition, entries, epoch=0):
                pass
            return Preview(image_of(book), paid_of(book))

        return await self._database.read(work)

    def _write(
        self, connection: Connection, partition: int, entries: Sequence[Entry], *, epoch: int
    ) -> None:
        book = load_book(connection, entries)
        watches = [watcher(connection, entries) for watcher in self._watchers]
        for entry, origin in _fold(book, partition, entries, epoch=epoch):
            for watch in watches:
                watch.see(book, entry, origin)
        store_book(connection, book)
        _write_journal(connection, partition, entries, epoch=epoch)
        for watch in watches:
            watch.finish()


def _read_positions(connection: Connection) -> dict[int, Position]:
    rows = connection.execute(select(tables.PARTITIONS)).mappings()
    return {row["partition"]: Position(row["epoch"], row["n"], row["nonce"]) for row in rows}


def _count_runs(connection: Connection) -> int:
    return int(connection.scalar(select(func.count()).select_from(tables.STORE_RUNS)) or 0)


def _require_position(connection: Connection, partition: int, expected: Position | None) -> None:
    """Hold the row of a partition until the transaction ends, if it says what is expected."""
    rows = tables.PARTITIONS
    query = select(rows.c.epoch, rows.c.n, rows.c.nonce).where(rows.c.partition == partition)
    row = connection.execute(query.with_for_update()).first()
    found = Position(*row) if row else None
    if found != expected:
        raise PositionMoved(found)
    if expected is None:
        _begin(connection, partition)


def _begin(connection: Connection, partition: int) -> None:
    """Make the row of a partition; of two that do it at once, one goes on."""
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    begun = insert(tables.PARTITIONS).values(partition=partition, **_values(NOWHERE))
    begun = begun.on_conflict_do_nothing().returning(tables.PARTITIONS.c.partition)
    if connection.execute(begun).first() is None:
        raise PositionMoved(None)


def _move(
    connection: Connection, partition: int, expected: Position | None, *, to: Position
) -> None:
    rows = tables.PARTITIONS
    held = _values(expected or NOWHERE)
    same = and_(
        rows.c.partition == partition, *(rows.c[name] == value for name, value in held.items())
    )
    moved = connection.execute(update(rows).where(same).values(**_values(to)))
    assert moved.rowcount == 1, "the row was held since it was compared"


def _values(position: Position) -> dict[str, Any]:
    return {"epoch": position.epoch, "n": position.n, "nonce": position.nonce}


def _fold(
    book: Book, partition: int, entries: Sequence[Entry], *, epoch: int
) -> Iterator[tuple[Entry, Origin]]:
    """Apply one entry after the other, and yield each once it is applied."""
    for entry in entries:
        origin = Origin(partition, epoch, entry.n, entry.time_ms)
        try:
            fold_entry(book, entry, origin)
        except (KeyError, IndexError) as error:
            raise EntryUnfit(f"entry {entry.n} speaks of {error}, which is not known") from error
        yield entry, origin


def _write_journal(
    connection: Connection, partition: int, entries: Sequence[Entry], *, epoch: int
) -> None:
    rows = [
        {
            "partition": partition,
            "epoch": epoch,
            "n": entry.n,
            "nonce": entry.nonce,
            "previous_nonce": entry.previous_nonce,
            "time_ms": entry.time_ms,
            "kind": entry.kind,
            "tenant_id": entry.tenant_id,
            "body": entry.body,
        }
        for entry in entries
    ]
    connection.execute(tables.JOURNAL.insert(), rows)


class BatchWatch(Protocol):
    """Looks on at one batch. What it writes is there exactly if the entries are."""

    def see(self, book: Book, entry: Entry, origin: Origin) -> None:
        """Look at the rows as they are after this entry; change nothing of them."""

    def see_lost(self, calls: Sequence[CallRow], time_ms: int) -> None:
        """Look at calls that ended because their store was lost."""

    def finish(self) -> None:
        """Write what followed from the batch."""


# Begins to look on at these entries, before the first one is applied.
Watcher = Callable[[Connection, Sequence[Entry]], BatchWatch]
