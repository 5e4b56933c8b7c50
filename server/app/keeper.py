"""Where the parts of a keeper are built, joined, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop

from server.app.log import log_to_stderr
from server.app.money import AroundPayments, make_money_in, money_duties, plain
from server.app.notices import duties_of, make_courier
from server.app.reports import make_reports, report_duties
from server.archive import Archive
from server.archive.keeper.comparison import Comparison
from server.archive.keeper.figures import Figures, KeeperPage
from server.archive.keeper.keeper import Keeper, KeeperDuty, KeeperParts
from server.archive.keeper.rebuild import Rebuild
from server.archive.keeper.recovery import Recovery
from server.ledger.journal.entries import JournalReader
from server.ledger.maintenance import Keeping
from server.ledger.redis_ledger import RedisLedger
from server.notices.crossings import CrossingWatch
from server.observability.spool import FOLDER
from server.settings import Settings
from server.storage.redis import EmbeddedServer, Store, StoreClock, StoreRefused, StoreUnavailable
from server.storage.sql.database import Database, archive_url
from server.storage.sql.errors import ArchiveUnavailable, ArchiveUnusable
from server.storage.sql.gate import Gate
from server.transport.http import HttpListener
from server.usage.decisions.carrying import Carrying, CarryingFigures

EXIT_CANNOT_START = 1
# Between two looks at a store or an archive that is not there yet.
_RETRY_SECONDS = 1.0
# Records are to be found a second or so after the answer.
_CARRY_ROUND_SECONDS = 0.5
_DROP_ROUND_SECONDS = 600.0
_MS = 1_000

_log = logging.getLogger("callgate.keeper")


def keep(settings: Settings) -> int:
    """Keep until SIGTERM or SIGINT; the result is the exit status of the process."""
    log_to_stderr(who="keeper: ")
    try:
        uvloop.run(_keep_until_stopped(settings))
    except (ArchiveUnusable, StoreRefused, OSError) as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START
    return 0


async def _keep_until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    working = asyncio.create_task(_work(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _work(settings: Settings) -> None:
    async with joined_keeper(settings) as keeper:
        await keeper.run()


@asynccontextmanager
async def joined_keeper(
    settings: Settings,
    make_clock: Callable[[Store, int], StoreClock] = StoreClock,
    around_payments: AroundPayments = plain,
) -> AsyncIterator[Keeper]:
    """Join a keeper with all of its duties; it works once it is run.

    Raises `ArchiveUnusable`, and `OSError` where its page or its key cannot be had.
    """
    figures = Figures(settings.journal_max_entries)
    async with AsyncExitStack() as stack:
        joining = running_parts(settings, make_clock=make_clock)
        parts, store = await stack.enter_async_context(joining)
        courier = make_courier(settings, parts.archive.database, parts.now_ms)
        money = make_money_in(
            settings,
            parts.archive.database,
            parts.ledger,
            now_ms=parts.now_ms,
            around=around_payments,
        )
        carrying = _make_carrying(settings, parts)
        if settings.keeper_http_listen is not None:
            families = (
                courier.figures.families,
                money.finishing.figures.families,
                carrying.figures.families,
            )
            page = KeeperPage(figures, parts.now_ms, families)
            listener = HttpListener(settings.keeper_http_listen, page)
            stack.push_async_callback(listener.stop)
            await listener.start()
        more = [
            KeeperDuty(work, pause, gate=Gate(parts.archive.database, waits))
            for duties, waits in (
                (duties_of(courier), courier.figures.something_waits),
                (money_duties(money), money.finishing.figures.something_waits),
            )
            for work, pause in duties
        ]
        reports = make_reports(parts)
        more += [KeeperDuty(work, pause) for work, pause in report_duties(reports)]
        more.append(KeeperDuty(carrying.work_if_grown, _CARRY_ROUND_SECONDS, of_machine=True))
        more.append(KeeperDuty(carrying.drop_old, _DROP_ROUND_SECONDS))
        keeper = Keeper(parts, figures, more)
        store.on_connect(keeper.doubt)
        yield keeper


def _make_carrying(settings: Settings, parts: KeeperParts) -> Carrying:
    return Carrying(
        settings.data_folder / FOLDER,
        parts.archive.database,
        parts.now_ms,
        settings.decision_days,
        CarryingFigures(parts.now_ms),
    )


@asynccontextmanager
async def running_parts(
    settings: Settings,
    *,
    patience_seconds: float | None = None,
    make_clock: Callable[[Store, int], StoreClock] = StoreClock,
) -> AsyncIterator[tuple[KeeperParts, Store]]:
    """Join the parts that a keeper, and whoever looks after it, works with, and their store.

    The store's clock was read and the archive is up to date when the block begins. Raises
    `TimeoutError` where that takes longer than `patience_seconds`, and `ArchiveUnusable`.
    """
    store = Store(store_url(settings))
    archive = open_archive(settings)
    clock = make_clock(store, settings.clock_tolerance_seconds)
    keeping, journal = Keeping(store), JournalReader(store)
    async with asyncio.timeout(patience_seconds):
        await _wait_for_store(clock)
        await _wait_for_archive(archive)
    reading = asyncio.create_task(clock.keep())
    try:
        parts = KeeperParts(
            ledger=RedisLedger(store, clock),
            journal=journal,
            keeping=keeping,
            archive=archive,
            rebuild=_make_rebuild(settings, store, clock, archive=archive),
            now_ms=clock.now_ms,
        )
        yield parts, store
    finally:
        reading.cancel()
        await archive.close()
        await store.close()


def open_archive(settings: Settings) -> Archive:
    """Name the archive of the settings; nothing connects yet. Raises `ArchiveUnusable`."""
    database = Database(archive_url(settings.archive_url, settings.data_folder))
    return Archive(database, (CrossingWatch,))


def make_recovery(
    settings: Settings, store: Store, clock: StoreClock, *, archive: Archive
) -> Recovery:
    """Build what opens partitions for a server."""
    rebuild = _make_rebuild(settings, store, clock, archive=archive)
    return Recovery(JournalReader(store), archive, rebuild)


def make_comparison(
    settings: Settings, store: Store, clock: StoreClock, *, archive: Archive
) -> Comparison:
    """Build what compares a store with the archive; `store` is its own way there."""
    rebuild = _make_rebuild(settings, store, clock, archive=archive)
    return Comparison(JournalReader(store), archive, rebuild)


def _make_rebuild(
    settings: Settings, store: Store, clock: StoreClock, *, archive: Archive
) -> Rebuild:
    return Rebuild(
        JournalReader(store),
        Keeping(store),
        archive,
        now_ms=clock.now_ms,
        # Returning calls are told of it by their next report, after a slice at the latest.
        small_ms=settings.slice_seconds * _MS,
    )


def store_url(settings: Settings) -> str:
    """Say where the store is: the one of the settings, or the one that an engine embeds."""
    return settings.redis_url or EmbeddedServer(settings.data_folder / "store").url


async def _wait_for_store(clock: StoreClock) -> None:
    told = False
    while True:
        try:
            await clock.refresh()
        except StoreUnavailable as error:
            if not told:
                _log.warning("Waiting for the store: %s", error)
            told = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _wait_for_archive(archive: Archive) -> None:
    told = False
    while True:
        try:
            await archive.migrate()
        except ArchiveUnavailable as error:
            if not told:
                _log.error("Waiting for the archive: %s", error)
            told = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
