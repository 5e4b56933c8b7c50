"""Answering cases from files alone: the engine's own parts, a store and a clock for them."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceResponse
from policy.allowance import month
from policy.decision import Counter, PoolPurse
from policy.facts import Tenant
from policy.lot_life import LotLife
from policy.reasons import Reason
from server.app.calls import CallServices, assemble_verbs
from server.archive import SoughtCall
from server.calls.handlers import CallHandlers
from server.calls.load_shedding import LoadShedder, Waiting
from server.calls.opening import Opening
from server.facts import FactsFolders, FactsInUse, Snapshot
from server.facts.catalogue import CatalogueFiles, read_catalogue
from server.facts.directory import Directory, DirectoryFiles, read_directory, read_tenant
from server.facts.files.problems import Problems
from server.funding.accounts import Accounts
from server.ledger import CallKey, Question, ReserveRequest
from server.ledger.deadline import Deadline
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import EXPIRE_BATCH, RedisLedger
from server.ledger.running_calls import CallReader
from server.observability.masks import Masks
from server.observability.metrics import Metrics
from server.observability.records import Records
from server.services.credits.messages import balance_response
from server.services.errors import BUG_REASON, failure_of
from server.settings import Settings
from server.storage.redis import EmbeddedServer, Store
from server.testing.cases.files import Case
from server.testing.cases.runner import QuestionFailed

_NS_PER_MS = 1_000_000
_SECONDS_PER_MINUTE = 60
# Nobody waits here but an operator, and what is slow is told.
_PATIENCE_SECONDS = 30.0
_NOTHING_USED = "f" * 43

Answer = TypeVar("Answer")


class SetFacts(FactsInUse):
    """Facts that stay as a case put them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._set = snapshot

    @property
    def current(self) -> Snapshot:
        """The facts of the case."""
        return self._set

    async def tenant_with_digest(self, tenant_id: str, digest: str) -> Tenant | None:
        """Know of no other facts."""
        tenant = self._set.directory.tenants.get(tenant_id)
        return tenant if tenant is not None and tenant.digest == digest else None


class SetClock:
    """A clock that stands where a case puts it."""

    def __init__(self) -> None:
        self.time_ms = 0

    def now_ms(self) -> int:
        """Say the time."""
        return self.time_ms


@dataclass(slots=True)
class Stage:
    """One world after the other, each for one case."""

    settings: Settings
    store: Store
    clock: SetClock
    files: CatalogueFiles
    directory: DirectoryFiles

    async def set_up(self, case: Case) -> World:
        """Forget the world before, and make that of a case.

        Raises `InvalidFacts` where its tenant cannot be what the case says.
        """
        self.clock.time_ms = case.at_ms or time.time_ns() // _NS_PER_MS
        tenant = self._tenant_of(case)
        await self.store.command("FLUSHALL")
        ledger = RedisLedger(self.store, self.clock)
        await ledger.install()
        directory = Directory.of([one for one in self.directory.tenants.values() if one != tenant])
        directory.put(tenant)
        facts = SetFacts(Snapshot(self.files.catalogue, directory))
        world = World(self.settings, self.store, self.clock, ledger, facts)
        await world.open(tenant, case.used)
        return world

    def _tenant_of(self, case: Case) -> Tenant:
        problems = Problems()
        tenants = self.directory.tenants
        if case.tenant_id not in tenants:
            known = ", ".join(sorted(tenants))
            problems.add(case.file, case.line, "tenant", f"is {case.tenant_id!r}; known: {known}")
            problems.raise_if_any()
        if not case.facts:
            return tenants[case.tenant_id]
        path = self.directory.paths[case.tenant_id]
        values = _laid_over(tomllib.loads(path.read_text(encoding="utf-8")), case.facts)
        tenant = read_tenant(path, values, self.files, problems)
        problems.raise_if_any()
        assert tenant is not None, "without a problem there is a tenant"
        return tenant


class World:
    """What one case is asked of."""

    def __init__(  # noqa: PLR0917 - What an engine stands on, handed down once.
        self,
        settings: Settings,
        store: Store,
        clock: SetClock,
        ledger: RedisLedger,
        facts: SetFacts,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._facts = facts
        life = LotLife(settings.lot_months, settings.opening_balance_days or settings.lot_days)
        self._opening = Opening(ledger, facts, clock.now_ms, life, "The stage")
        self._accounts = Accounts(facts, ledger, self._opening, Deadline(_PATIENCE_SECONDS))
        self._verbs = _verbs(settings, store, clock, facts=facts, opening=self._opening)

    async def open(self, tenant: Tenant, used: Mapping[str, int]) -> None:
        """Open the account of a tenant, and talk minutes of its pools."""
        await self._opening.open(tenant)
        for place, (pool, minutes) in enumerate(used.items()):
            await self._use_up(tenant, pool, minutes=minutes, key=f"used-{place}")

    async def pass_time(self, span_ms: int) -> None:
        """Let time pass, and what lapses meanwhile lapse."""
        self._clock.time_ms += span_ms
        for partition in {partition_of(one) for one in self._facts.current.directory.tenants}:
            while await self._ledger.expire(partition, EXPIRE_BATCH):
                continue

    async def authorize(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse:
        """Answer."""
        return await _answered(self._verbs.authorize_call(question, None))

    async def extend(self, question: pb.ExtendCallRequest) -> pb.ExtendCallResponse:
        """Answer."""
        return await _answered(self._verbs.extend_call(question, None))

    async def settle(self, question: pb.SettleCallRequest) -> pb.SettleCallResponse:
        """Answer."""
        return await _answered(self._verbs.settle_call(question, None))

    async def release(self, question: pb.ReleaseCallRequest) -> pb.ReleaseCallResponse:
        """Answer."""
        return await _answered(self._verbs.release_call(question, None))

    async def balance(self, tenant_id: str) -> GetBalanceResponse:
        """Answer."""
        return balance_response(await _answered(self._accounts.balance(tenant_id, None)))

    async def _use_up(self, tenant: Tenant, pool: str, *, minutes: int, key: str) -> None:
        """Talk minutes of a pool as if it were as large as that."""
        spelled, _, period = pool.partition("@")
        pool_id, _, counter = spelled.rpartition("/")
        period = period or month(tenant.time_zone, self._clock.now_ms())
        seconds = minutes * _SECONDS_PER_MINUTE
        counters = (Counter(counter, seconds),)
        purse = PoolPurse(pool_id, period, counter, counters, "", Reason.ALLOWANCE_EXHAUSTED)
        call = CallKey(tenant.tenant_id, "rehearsal", key)
        asked = Question(call, 1, _NOTHING_USED, f"{key}-1", tenant.digest)
        await self._ledger.reserve(ReserveRequest(asked, (purse,), None, seconds, ""))
        ended = Question(call, 2, _NOTHING_USED, f"{key}-2", tenant.digest)
        await self._ledger.settle(ended, seconds)


@asynccontextmanager
async def open_stage(settings: Settings) -> AsyncIterator[Stage]:
    """Read the facts, and start a store of the stage's own for as long as the block lasts.

    Raises `InvalidFacts` and `EmbeddedServerError`.
    """
    folders = FactsFolders(settings.catalogue_folder, settings.directory_folder)
    problems = Problems()
    files = read_catalogue(folders.catalogue, problems)
    directory = read_directory(settings.directory_folder, files, problems)
    problems.raise_if_any()
    with TemporaryDirectory(prefix="callgate-") as folder:
        embedded = EmbeddedServer(Path(folder))
        await embedded.start()
        store = Store(embedded.url)
        try:
            yield Stage(settings, store, SetClock(), files, directory)
        finally:
            await store.close()
            await embedded.stop()


def _verbs(
    settings: Settings, store: Store, clock: SetClock, *, facts: SetFacts, opening: Opening
) -> CallHandlers:
    # Written nowhere: who rehearses reads the report.
    records = Records(os.devnull, Masks(b"", settings.mask_digits, settings.mask_accounts), most=1)
    return assemble_verbs(
        CallServices(
            settings=settings,
            facts=facts,
            ledger=opening.ledger,
            ledger_is_up=lambda: True,
            journal_is_full=lambda _: False,
            calls=CallReader(store),
            find_archived=_no_call,
            load=LoadShedder(Waiting(store.waiting, store.oldest_seconds), _PATIENCE_SECONDS),
            records=records,
            metrics=Metrics(),
            now_ms=clock.now_ms,
            now_without_store_ms=clock.now_ms,
            deadline_seconds=_PATIENCE_SECONDS,
            opening=opening,
        )
    )


async def _answered(asked: Awaitable[Answer]) -> Answer:
    try:
        return await asked
    except Exception as error:
        failure = failure_of(error)
        if failure.reason == BUG_REASON:
            raise
        raise QuestionFailed(failure.reason, failure.text or str(error)) from error


async def _no_call(_: SoughtCall) -> None:
    """Know of no call but those of the case: there is no archive."""


def _laid_over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a table over another: tables are merged, everything else replaced."""
    merged = dict(values)
    for name, change in changes.items():
        old = merged.get(name)
        if isinstance(old, Mapping) and isinstance(change, Mapping):
            merged[name] = _laid_over(old, change)
        else:
            merged[name] = change
    return merged
