"""What one engine is made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from policy.facts import Tenant
from policy.lot_life import LotLife
from server.access.in_use import IdentitiesInUse, archive_source, file_source
from server.access.in_use import Source as IdentitySource
from server.access.open_streams import OpenStreams
from server.app.directory import archived_tenants, directory_source
from server.app.embedded import lay_ground
from server.app.keeper import make_comparison, make_recovery
from server.archive import Archive
from server.archive.epochs import StoreEpoch
from server.archive.keeper.comparison import Comparison
from server.calls.kept_checks import checks_of_refusals
from server.calls.load_shedding import LoadShedder, Waiting
from server.calls.opening import Opening
from server.facts import FactsFolders, FactsInUse, FactsReport
from server.facts.reloads import Reloads
from server.funding.accounts import Accounts
from server.ledger.deadline import Deadline
from server.ledger.estimates import RoomReader
from server.ledger.headroom import JournalFill
from server.ledger.journal import JournalSource, Tailer
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import RedisLedger
from server.ledger.running_calls import CallReader
from server.ledger.store_calls import SettingsProbe
from server.notices.preferences import NoticeRegister
from server.observability.ledger_health import LedgerHealth
from server.observability.masks import Masks
from server.observability.metrics import Metrics
from server.observability.records import Records
from server.observability.spool import FOLDER as SPOOL_FOLDER
from server.observability.spool import Spool
from server.services.bridge_stream import Standings
from server.services.bridge_stream.newest import NewestStreams
from server.services.debits.stream import Watching
from server.services.directory.source import Source
from server.services.health import ACCOUNTS_SERVICE, LEDGER_SERVICE, HealthService
from server.settings import KeepExplanations, Settings
from server.settings.kept_key import kept_key
from server.storage.redis import Store, StoreClock, StoreUnavailable, WakeUps
from server.storage.sql.database import Database
from server.transport import TransportServer
from server.transport.options import MEBIBYTE

# In the setting `identities`: those of the archive.
ARCHIVE = "archive"


def make_identities(settings: Settings, database: Database) -> IdentitiesInUse:
    """Name where identities come from; nothing is read yet."""
    return IdentitiesInUse([_source(name, database) for name in settings.identities])


def _source(name: str, database: Database) -> IdentitySource:
    return archive_source(database) if name == ARCHIVE else file_source(Path(name))


_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of one engine."""

    settings: Settings
    facts: FactsInUse
    records: Records
    metrics: Metrics
    clock: StoreClock
    ledger: RedisLedger
    calls: CallReader
    rooms: RoomReader
    standings: Standings
    archive: Archive
    store_epoch: StoreEpoch
    comparison: Comparison
    directory: Source
    fill: JournalFill
    opening: Opening
    reloads: Reloads
    accounts: Accounts
    watching: Watching
    load: LoadShedder
    # What health checks are told, and what watches the ledger for them.
    told: HealthService
    watch: LedgerHealth
    # Who may ask, and the streams that end when their identities do.
    identities: IdentitiesInUse
    open_streams: OpenStreams
    # What tenants' facts say about notices, on its way to the archive.
    notices: NoticeRegister

    def reload(self) -> None:
        """Read the facts and the identities anew, and open the file of the records anew."""
        self.records.reopen()
        self.identities.request_reload()
        self.facts.request_reload()

    def now_ms(self) -> int:
        """Say the time for what goes on without the store: its clock, else this machine's."""
        try:
            return self.clock.now_ms()
        except StoreUnavailable:
            return time.time_ns() // _NS_PER_MS


def partitions(facts: FactsInUse) -> set[int]:
    """List the partitions in which the tenants of these facts lie."""
    return {partition_of(tenant_id) for tenant_id in facts.current.directory.tenants}


_KEY_FILE = "records.key"


def record_key(configured: str, data_folder: Path) -> bytes:
    """Return the key that is set, else the one kept in the data folder, made at first use.

    64 bytes, whatever is set.

    Raises OSError where the folder cannot be written.
    """
    return kept_key(configured, data_folder, _KEY_FILE)


_MS = 1_000


def build_engine(
    settings: Settings,
    opened: OpenStore,
    *,
    archive: Archive,
    watching: Watching,
    comparison: Comparison,
) -> Engine:
    """Build an engine on a store and an archive. Raises `OSError` where the records cannot be."""
    store, clock, metrics = opened.store, opened.clock, Metrics()
    recovery = make_recovery(settings, store, clock, archive=archive)
    ledger = RedisLedger(
        store, clock, recovery, tolerance_seconds=settings.report_tolerance_seconds
    )

    async def announce(tenant: Tenant) -> bool:
        notices.note(tenant)
        return await opening.announce(tenant)

    def count_report(report: FactsReport) -> None:
        metrics.facts_reload_failures += bool(report.problems)

    archived = archived_tenants(settings, metrics, store)
    folders = FactsFolders(
        settings.catalogue_folder,
        None if archived else settings.directory_folder,
        settings.facts_most_lost_percent,
    )
    facts = FactsInUse(folders, announce=announce, on_report=count_report, archived=archived)
    told = HealthService(settings.heartbeat_seconds)
    opening = Opening(
        ledger,
        facts,
        clock.now_ms,
        LotLife(settings.lot_months, settings.opening_balance_days or settings.lot_days),
        opened.name,
        lambda all_open: told.tell(ACCOUNTS_SERVICE, serving=all_open),
    )
    notices = NoticeRegister(
        archive.database, lambda: list(facts.current.directory.tenants.values())
    )

    async def prepare() -> None:
        await clock.refresh()
        await ledger.install()

    return Engine(
        settings=settings,
        facts=facts,
        records=_build_records(settings, facts),
        metrics=metrics,
        clock=clock,
        ledger=ledger,
        calls=CallReader(store),
        rooms=RoomReader(store),
        standings=Standings(NewestStreams(store)),
        archive=archive,
        store_epoch=StoreEpoch(archive, store.runs),
        comparison=comparison,
        directory=directory_source(settings, facts),
        fill=JournalFill(
            JournalReader(store), lambda: partitions(facts), settings.journal_max_entries
        ),
        opening=opening,
        reloads=Reloads(store, facts),
        accounts=Accounts(facts, ledger, opening, Deadline(settings.deadline_ms / _MS)),
        watching=watching,
        load=LoadShedder(Waiting(store.waiting, store.oldest_seconds), settings.deadline_ms / _MS),
        told=told,
        watch=LedgerHealth(
            prepare, SettingsProbe(store).look, lambda up: told.tell(LEDGER_SERVICE, serving=up)
        ),
        identities=make_identities(settings, archive.database),
        open_streams=OpenStreams(),
        notices=notices,
    )


def make_masks(settings: Settings) -> Masks:
    """Say what records hide. Raises OSError where the key cannot be kept."""
    return Masks(
        record_key(settings.record_key, settings.data_folder),
        settings.mask_digits,
        settings.mask_accounts,
    )


def _build_records(settings: Settings, facts: FactsInUse) -> Records:
    masks = make_masks(settings)
    spool = None
    if settings.decision_days:
        most_bytes = settings.decision_spool_mebibytes * MEBIBYTE
        spool = Spool(settings.data_folder / SPOOL_FOLDER, most_bytes)
    is_explained = settings.keep_explanations is KeepExplanations.REFUSED
    return Records(
        settings.records_path,
        masks,
        settings.records_buffer,
        spool=spool,
        explain=checks_of_refusals(lambda: facts.current) if is_explained else None,
    )


def _as_it_is(_: Engine, transport: TransportServer) -> TransportServer:
    return transport


def _nothing_more(_: Engine, __: TransportServer) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Making:
    """How stores and clocks are made, what stands around the transport, what else is served.

    `clock` is given how far clocks may differ, in seconds. `more_services` registers others.
    """

    store: Callable[[str], Store] = Store
    clock: Callable[[Store, int], StoreClock] = StoreClock
    around: Callable[[Engine, TransportServer], TransportServer] = _as_it_is
    more_services: Callable[[Engine, TransportServer], None] = _nothing_more


PLAIN = Making()


class OpenStore(NamedTuple):
    """A store, its name for operators, its URL, and the clock of what is decided on it."""

    store: Store
    name: str
    url: str
    clock: StoreClock


async def open_store(settings: Settings, stack: AsyncExitStack, making: Making) -> OpenStore:
    """Connect to the store, or start one of our own.

    Raises `EmbeddedServerError` and `StoreRefused`.
    """
    ground = await lay_ground(settings, stack)
    store = making.store(ground.url)
    stack.push_async_callback(store.close)
    return OpenStore(
        store, ground.name, ground.url, making.clock(store, settings.clock_tolerance_seconds)
    )


def make_watching(
    settings: Settings, url: str, *, archive: Archive, stack: AsyncExitStack
) -> Watching:
    """Build what follows journals, on connections of its own: no decision waits behind it."""
    store = Store(url)
    stack.push_async_callback(store.close)
    source = JournalSource(store, archive)
    return Watching(Tailer(source, WakeUps(url)), source, settings.checkpoint_seconds)


def compare_before_use(
    settings: Settings, opened: OpenStore, *, archive: Archive, stack: AsyncExitStack
) -> Comparison:
    """Have the store compared with the archive on each new connection, before it is used."""
    store = Store(opened.url)
    stack.push_async_callback(store.close)
    comparison = make_comparison(settings, store, opened.clock, archive=archive)
    opened.store.before_use(comparison.before_use)
    return comparison
