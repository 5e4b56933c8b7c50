"""The one place where the parts of the engine are built, joined, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import grpc.aio
import uvloop
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from policy.facts import Tenant
from server.accounts import Accounts
from server.archive import Archive, ArchiveUnusable
from server.authorization import SERVICE as AUTHORIZATION
from server.authorization import Authorization
from server.calls.announcing import Announcing
from server.calls.legs import Legs
from server.calls.listing import Listing
from server.calls.reporting import Reporter
from server.calls.verbs import Verbs
from server.catching_up import CatchingUp
from server.control import Control, Following, Standings
from server.credits import SERVICE as CREDITS
from server.credits import Credits
from server.deadline import Deadline
from server.debits import SERVICE as DEBITS
from server.debits import Debits, Watching
from server.decider import Decider
from server.duties import go_on
from server.emergency import EmergencyDoor
from server.facts import FactsFolders, FactsKeeper, FactsReport, InvalidFacts
from server.health import LEDGER_SERVICE, LedgerHealth
from server.journal import JournalSource, Tailer
from server.keeper.expiry import Expiry
from server.keeper.fill import JournalFill
from server.keeper_app import make_recovery, open_archive
from server.keeper_child import KeeperChild
from server.ledger.bridges import NewestStreams
from server.ledger.calls import CallReader
from server.ledger.journal import JournalReader
from server.ledger.keys import partition_of
from server.ledger.probe import probe
from server.ledger.redis_ledger import RedisLedger
from server.ledger.rooms import RoomReader
from server.observation.masks import Masks, record_key
from server.observation.metrics import Metrics, MetricsPage, serve_metrics
from server.observation.records import Records
from server.settings import Settings
from server.store import (
    EmbeddedServer,
    EmbeddedServerError,
    Store,
    StoreClock,
    StoreRefused,
    StoreUnavailable,
    WakeUps,
)
from server.translation.advice import advice_of
from server.transport import AddressUnusable, TransportOptions, TransportServer, make_server

EXIT_CANNOT_START = 1

CANNOT_START = (
    AddressUnusable,
    ArchiveUnusable,
    EmbeddedServerError,
    InvalidFacts,
    OSError,
    StoreRefused,
)
_MS = 1_000
_NS_PER_MS = 1_000_000
# How long a start waits for a Redis that is not there, before it serves emergencies without.
_LEDGER_START_SECONDS = 5.0
_STATUS = health_pb2.HealthCheckResponse

_log = logging.getLogger("callgate")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the result is the exit status of the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        uvloop.run(_serve_until_stopped(settings))
    except (
        InvalidFacts,
        EmbeddedServerError,
        StoreRefused,
        AddressUnusable,
        ArchiveUnusable,
        OSError,
    ) as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START
    return 0


async def _serve_until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_engine(settings) as (engine, _):
        loop.add_signal_handler(signal.SIGHUP, engine.reload)
        await stop.wait()
        _log.info("Draining.")


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of one engine."""

    settings: Settings
    facts: FactsKeeper
    records: Records
    metrics: Metrics
    clock: StoreClock
    ledger: RedisLedger
    calls: CallReader
    rooms: RoomReader
    standings: Standings
    archive: Archive
    fill: JournalFill
    accounts: Accounts
    watching: Watching
    # What health checks are told, and what watches the ledger for them.
    told: grpc_health.aio.HealthServicer
    watch: LedgerHealth

    def reload(self) -> None:
        """Read the facts anew, and open the file of the records anew."""
        self.records.reopen()
        self.facts.request_reload()

    def now_ms(self) -> int:
        """Say the time for what goes on without the store: its clock, else this machine's."""
        try:
            return self.clock.now_ms()
        except StoreUnavailable:
            return time.time_ns() // _NS_PER_MS


@asynccontextmanager
async def running_engine(settings: Settings) -> AsyncIterator[tuple[Engine, int]]:
    """Run an engine, on the port that is yielded with it, while the block lasts; then drain it.

    Raises `InvalidFacts`, `EmbeddedServerError`, `StoreRefused`, `ArchiveUnusable`,
    `AddressUnusable` and `OSError`. A
    Redis that is away is no reason not to start: emergency numbers are granted without it.
    """
    async with AsyncExitStack() as stack:
        store, store_name, url = await _open_store(settings, stack)
        archive = open_archive(settings)
        stack.push_async_callback(archive.close)
        watching = _make_watching(settings, url, archive=archive, stack=stack)
        engine = _build(settings, store, store_name, archive=archive, watching=watching)
        engine.facts.load()
        engine.records.start()
        stack.callback(engine.records.close)
        await engine.told.set(LEDGER_SERVICE, _STATUS.NOT_SERVING)
        await _wait_for_ledger(engine.watch)
        expiry = Expiry(engine.ledger, lambda: _partitions(engine.facts), engine.metrics)
        for name, duty in {
            "Reading the clock": engine.clock.keep,
            "Watching the ledger": engine.watch.run,
            "Watching the journals": engine.fill.run,
            "Expiring reservations": expiry.run,
            "Following the journals": watching.tailer.run,
            "Looking after bridges' streams": engine.standings.run,
        }.items():
            stack.push_async_callback(_cancel, asyncio.create_task(go_on(name, duty)))
        engine.facts.start()
        stack.push_async_callback(engine.facts.stop)
        _serve_metrics(engine, stack)
        yield engine, await _serve(engine, stack)


async def _open_store(settings: Settings, stack: AsyncExitStack) -> tuple[Store, str, str]:
    """Connect to the store, or start one of our own; give it, its name for operators, its URL.

    The keeper beside us, if there is to be one, starts with it and ends before it.
    """
    if settings.redis_url:
        url = settings.redis_url
        parts = urlsplit(url)
        name = f"The store at {parts.hostname or parts.path}"
    else:
        folder = settings.data_folder / "store"
        embedded = EmbeddedServer(folder)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        url, name = embedded.url, f"The store in {folder}"
    store = Store(url)
    stack.push_async_callback(store.close)
    if settings.run_keeper:
        keeper = KeeperChild(url)
        keeper.start()
        stack.push_async_callback(keeper.stop)
    return store, name, url


def _make_watching(
    settings: Settings, url: str, *, archive: Archive, stack: AsyncExitStack
) -> Watching:
    """Build what follows journals, on connections of its own: no decision waits behind it."""
    store = Store(url)
    stack.push_async_callback(store.close)
    source = JournalSource(store, archive)
    return Watching(Tailer(source, WakeUps(url)), source, settings.checkpoint_seconds)


def _build(
    settings: Settings, store: Store, store_name: str, *, archive: Archive, watching: Watching
) -> Engine:
    clock, metrics = StoreClock(store), Metrics()
    recovery = make_recovery(settings, store, clock, archive=archive)
    ledger = RedisLedger(store, clock, recovery.open_partition)

    async def announce(tenant: Tenant) -> bool:
        return await accounts.announce(tenant)

    def count_report(report: FactsReport) -> None:
        metrics.facts_reload_failures += bool(report.problems)

    folders = FactsFolders(settings.catalogue_folder, settings.directory_folder)
    facts = FactsKeeper(folders, announce=announce, on_report=count_report)
    accounts = Accounts(
        facts=facts,
        ledger=ledger,
        now_ms=clock.now_ms,
        opening_balance_days=settings.opening_balance_days,
        store_name=store_name,
        deadline=Deadline(settings.deadline_ms / _MS),
    )
    told = grpc_health.aio.HealthServicer()

    async def prepare() -> None:
        await clock.refresh()
        await ledger.install()
        await accounts.open(list(facts.current.directory.tenants.values()))

    async def tell(up: bool) -> None:
        await told.set(LEDGER_SERVICE, _STATUS.SERVING if up else _STATUS.NOT_SERVING)

    return Engine(
        settings=settings,
        facts=facts,
        records=_build_records(settings),
        metrics=metrics,
        clock=clock,
        ledger=ledger,
        calls=CallReader(store),
        rooms=RoomReader(store),
        standings=Standings(NewestStreams(store)),
        archive=archive,
        fill=JournalFill(
            JournalReader(store), lambda: _partitions(facts), settings.journal_max_entries
        ),
        accounts=accounts,
        watching=watching,
        told=told,
        watch=LedgerHealth(prepare, lambda: probe(store), tell),
    )


def _build_records(settings: Settings) -> Records:
    masks = Masks(
        record_key(settings.record_key, settings.data_folder),
        settings.mask_digits,
        settings.mask_accounts,
    )
    return Records(settings.records_path, masks, settings.records_buffer)


async def _wait_for_ledger(watch: LedgerHealth) -> None:
    """Wait a while for the ledger. Raises `StoreRefused` where an operator has to mend it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEDGER_START_SECONDS):
            await watch.look()
    if isinstance(watch.trouble, StoreRefused):
        raise watch.trouble
    if not watch.up:
        _log.warning("Serving emergency numbers only, until the ledger answers.")


async def _serve(engine: Engine, stack: AsyncExitStack) -> int:
    """Bind, serve, and see to it that questions under way are answered before the end."""
    settings = engine.settings
    transport = make_server(
        settings.transport.value,
        TransportOptions(max_receive_message_bytes=settings.max_message_bytes),
    )
    _register(engine, transport)
    port = transport.add_insecure_port(str(settings.listen))
    await engine.told.set("", _STATUS.SERVING)
    await transport.start()
    stack.push_async_callback(transport.stop, settings.drain_seconds)
    stack.push_async_callback(engine.told.enter_graceful_shutdown)
    _log.info("Listening on %s:%d with %s.", settings.listen.host, port, transport.name)
    if not settings.listen.is_loopback:
        _log.warning(
            "insecure_listen: anybody who reaches this address may ask, and spend, as any tenant."
        )
    return port


def _register(engine: Engine, transport: TransportServer) -> None:
    settings, metrics = engine.settings, engine.metrics
    door = EmergencyDoor(
        engine.facts, engine.records, metrics, engine.now_ms, settings.default_locations
    )
    decider = Decider(
        facts=engine.facts,
        catching_up=CatchingUp(engine.facts, settings.deadline_ms / _MS),
        ledger=engine.ledger,
        ledger_is_up=lambda: engine.watch.up,
        journal_is_full=engine.fill.is_full,
        now_ms=engine.clock.now_ms,
        deadline=Deadline(settings.deadline_ms / _MS),
        slice_seconds=settings.slice_seconds,
        store_name=engine.accounts.store_name,
        records=engine.records,
        metrics=metrics,
    )
    verbs = _verbs(engine, door, decider)
    control = Control(
        verbs,
        engine.standings,
        Following(engine.watching.tailer, engine.rooms, decider, verbs.advice),
    )
    Authorization(verbs, control, metrics).register(transport)
    Credits(engine.accounts, metrics).register(transport)
    Debits(engine.watching, engine.facts, engine.accounts.store_name, metrics).register(transport)
    # Both transports offer what generated code asks of grpcio's own server.
    grpcio_like = cast("grpc.aio.Server", transport)
    health_pb2_grpc.add_HealthServicer_to_server(engine.told, grpcio_like)
    names = (AUTHORIZATION, CREDITS, DEBITS, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, grpcio_like)


def _verbs(engine: Engine, door: EmergencyDoor, decider: Decider) -> Verbs:
    settings = engine.settings
    announcing = Announcing(engine.ledger, engine.archive.find_call)
    return Verbs(
        door=door,
        decider=decider,
        announcing=announcing,
        reporter=Reporter(decider, announcing, settings.charge_unknown_calls),
        legs=Legs(decider, announcing),
        listing=Listing(decider, engine.calls),
        advice=advice_of(settings),
    )


def _serve_metrics(engine: Engine, stack: AsyncExitStack) -> None:
    address = engine.settings.metrics_listen
    if address is None:
        return
    records, metrics, watch = engine.records, engine.metrics, engine.watch
    page = MetricsPage(
        metrics,
        counters={
            "facts_stale": lambda: metrics.facts_stale,
            "expired_reservations": lambda: metrics.expired_reservations,
            "facts_reload_failures": lambda: metrics.facts_reload_failures,
            "records_dropped_grants": lambda: records.dropped_grants,
            "records_dropped_refusals": lambda: records.dropped_refusals,
            "bridges_replaced": lambda: engine.standings.replaced,
            "records_failed_writes": lambda: records.failed_writes,
        },
        gauges={
            "bridges": lambda: engine.standings.count,
            "records_waiting": lambda: records.waiting,
            "ledger_up": lambda: float(watch.up),
        },
    )
    httpd, _ = serve_metrics(address, page)
    stack.callback(httpd.server_close)
    stack.push_async_callback(asyncio.to_thread, httpd.shutdown)
    _log.info("Metrics on %s:%d/metrics.", address.host, httpd.server_port)


def _partitions(facts: FactsKeeper) -> set[int]:
    return {partition_of(tenant_id) for tenant_id in facts.current.directory.tenants}


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
