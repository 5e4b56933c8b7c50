"""What one engine is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass

from server.access.keeper import IdentityKeeper
from server.access.streams import OpenStreams
from server.accounts import Accounts
from server.archive import Archive
from server.control import Standings
from server.debits import Watching
from server.directory_service.source import Source
from server.facts import FactsKeeper
from server.health import HealthService, LedgerHealth
from server.keeper.fill import JournalFill
from server.ledger.calls import CallReader
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import RedisLedger
from server.ledger.rooms import RoomReader
from server.load import Load
from server.notices.register import NoticeRegister
from server.observation.metrics import Metrics
from server.observation.records import Records
from server.opening import Opening
from server.settings import Settings
from server.store import StoreClock, StoreUnavailable

_NS_PER_MS = 1_000_000


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
    directory: Source
    fill: JournalFill
    opening: Opening
    accounts: Accounts
    watching: Watching
    load: Load
    # What health checks are told, and what watches the ledger for them.
    told: HealthService
    watch: LedgerHealth
    # Who may ask, and the streams that end when their identities do.
    identities: IdentityKeeper
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


def partitions(facts: FactsKeeper) -> set[int]:
    """List the partitions in which the tenants of these facts lie."""
    return {partition_of(tenant_id) for tenant_id in facts.current.directory.tenants}
