"""Building the parts of an engine; nothing runs yet."""

from __future__ import annotations

from policy.facts import Tenant
from server.access.streams import OpenStreams
from server.accounts import Accounts
from server.app.directory import archived_tenants, directory_source
from server.app.guarding import make_identities
from server.app.parts import Engine, partitions
from server.app.storing import OpenStore
from server.archive import Archive
from server.control import Standings
from server.deadline import Deadline
from server.debits import Watching
from server.facts import FactsFolders, FactsKeeper, FactsReport
from server.health import ACCOUNTS_SERVICE, LEDGER_SERVICE, HealthService, LedgerHealth
from server.keeper.fill import JournalFill
from server.keeper_app import make_recovery
from server.ledger.bridges import NewestStreams
from server.ledger.calls import CallReader
from server.ledger.journal import JournalReader
from server.ledger.probe import probe
from server.ledger.redis_ledger import RedisLedger
from server.ledger.rooms import RoomReader
from server.load import Load, Waiting
from server.notices.register import NoticeRegister
from server.observation.masks import Masks, record_key
from server.observation.metrics import Metrics
from server.observation.records import Records
from server.opening import Opening
from server.settings import Settings

_MS = 1_000


def build_engine(
    settings: Settings, opened: OpenStore, *, archive: Archive, watching: Watching
) -> Engine:
    """Build an engine on a store and an archive. Raises `OSError` where the records cannot be."""
    store, clock, metrics = opened.store, opened.clock, Metrics()
    recovery = make_recovery(settings, store, clock, archive=archive)
    ledger = RedisLedger(store, clock, recovery.open_partition)

    async def announce(tenant: Tenant) -> bool:
        notices.note(tenant)
        return await opening.announce(tenant)

    def count_report(report: FactsReport) -> None:
        metrics.facts_reload_failures += bool(report.problems)

    archived = archived_tenants(settings, metrics, store)
    folders = FactsFolders(
        settings.catalogue_folder, None if archived else settings.directory_folder
    )
    facts = FactsKeeper(folders, announce=announce, on_report=count_report, archived=archived)
    told = HealthService()
    opening = Opening(
        ledger,
        facts,
        clock.now_ms,
        settings.opening_balance_days,
        opened.name,
        lambda all_open: told.tell(ACCOUNTS_SERVICE, serving=all_open),
    )
    notices = NoticeRegister(archive, lambda: list(facts.current.directory.tenants.values()))

    async def prepare() -> None:
        await clock.refresh()
        await ledger.install()

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
        directory=directory_source(settings, facts),
        fill=JournalFill(
            JournalReader(store), lambda: partitions(facts), settings.journal_max_entries
        ),
        opening=opening,
        accounts=Accounts(facts, ledger, opening, Deadline(settings.deadline_ms / _MS)),
        watching=watching,
        load=Load(Waiting(store.waiting, store.oldest_seconds), settings.deadline_ms / _MS),
        told=told,
        watch=LedgerHealth(
            prepare, lambda: probe(store), lambda up: told.tell(LEDGER_SERVICE, serving=up)
        ),
        identities=make_identities(settings, archive),
        open_streams=OpenStreams(),
        notices=notices,
    )


def _build_records(settings: Settings) -> Records:
    masks = Masks(
        record_key(settings.record_key, settings.data_folder),
        settings.mask_digits,
        settings.mask_accounts,
    )
    return Records(settings.records_path, masks, settings.records_buffer)
