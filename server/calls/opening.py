"""Opening the accounts of an engine's tenants: each for itself, beside the questions."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from policy.facts import FundingModel, Tenant
from policy.lot_life import LotLife
from server.facts import FactsInUse
from server.ledger import Ledger, LedgerError, LedgerUnavailable, OpenAccount
from server.ledger.errors import AccountMissing
from server.ledger.keys import partition_of
from server.storage.redis import StoreUnavailable

# Partitions that are worked on at once; the loop is never theirs for longer than so many steps.
AT_ONCE = 32
# Accounts that questions may have opened ahead of the others at once.
MOST_HURRIED = 256
# After an attempt that failed: of a partition whose store or archive is away always the first, of
# accounts that are not what they must be doubled each time, up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# Lines of one round about single accounts.
_MOST_LINES = 10

_HAS_BALANCE = frozenset({FundingModel.PREPAID, FundingModel.DRAIN_THEN_POST_PAID})

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Opening:
    """Opens accounts, and describes them anew. What goes wrong with one holds up no other.

    `tell` is told whether all accounts are open, each time that changes.
    """

    ledger: Ledger
    facts: FactsInUse
    now_ms: Callable[[], int]
    opening_life: LotLife
    store_name: str
    tell: Callable[[bool], None] = lambda _: None
    # How many accounts are not open yet.
    waiting: int = 0
    # Set once each account was tried that was known then.
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    # By partition the tenants whose accounts are not open yet, in the order they came in.
    _waiting: defaultdict[int, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    # What is wrong, with a tenant or a whole partition.
    _troubles: dict[str | int, str] = field(default_factory=dict)
    _rest_until: dict[int, float] = field(default_factory=dict)
    # By tenant the version of the facts that its account was described by here.
    _described: dict[str, int] = field(default_factory=dict)
    _hurried: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _pause_seconds: float = FIRST_PAUSE_SECONDS

    async def open(self, tenant: Tenant) -> None:
        """Open an account or describe it anew; never changes money. Raises what the ledger does."""
        self._described[tenant.tenant_id] = await self.ledger.open_account(
            OpenAccount(
                tenant_id=tenant.tenant_id,
                currency=tenant.currency,
                facts_digest=tenant.digest,
                prepaid=tenant.funding_model in _HAS_BALANCE,
                opening_balance_micros=tenant.opening_balance_micros,
                opening_expire_ms=self.opening_life.expire_ms(self.now_ms(), tenant.time_zone),
            )
        )

    async def announce(self, tenant: Tenant) -> bool:
        """Describe one account by new facts; say whether it knows them now. Never raises.

        While its partition was found away a moment ago it is not asked: other tenants wait.
        """
        if self._rests(tenant.tenant_id):
            return False
        try:
            await self._open_or_rest(tenant)
        except (LedgerError, StoreUnavailable) as error:
            _log.warning("The account of %s keeps its old facts: %s", tenant.tenant_id, error)
            return False
        self._note_open(tenant.tenant_id)
        return True

    def want(self, tenant_ids: Iterable[str]) -> None:
        """Have accounts opened soon."""
        were = self.waiting
        for tenant_id in tenant_ids:
            of_partition = self._waiting[partition_of(tenant_id)]
            self.waiting += tenant_id not in of_partition
            of_partition[tenant_id] = None
        self._wanted.set()
        if self.waiting and not were:
            self.tell(False)

    def missing(self, tenant_id: str) -> AccountMissing:
        """Say why there is no account."""
        partition = partition_of(tenant_id)
        if tenant_id not in self._waiting[partition]:
            # It was open before: what the archive knows of it is looked at first.
            self.want([tenant_id])
            return AccountMissing(tenant_id, self.store_name)
        trouble = self._troubles.get(tenant_id) or self._troubles.get(partition)
        return AccountMissing(tenant_id, self.store_name, trouble or "others come first")

    async def hurry(self, tenant_id: str) -> bool:
        """Open an account now that waits for it; say whether it did. Others are left as they are.

        Raises `AccountMissing`, and what the ledger does.
        """
        tenant = self._tenant(tenant_id)
        if tenant is None or tenant_id not in self._waiting[partition_of(tenant_id)]:
            return False
        if self._rests(tenant_id) or len(self._hurried) >= MOST_HURRIED:
            raise self.missing(tenant_id)
        task = self._hurried.get(tenant_id)
        if task is None:
            task = self._hurried[tenant_id] = asyncio.create_task(self._open_one(tenant_id))
            task.add_done_callback(lambda _: self._hurried.pop(tenant_id))
        # Who gives up does not take it from the others.
        await asyncio.wait((task,))
        try:
            task.result()
        except (LedgerUnavailable, StoreUnavailable) as error:
            raise self.missing(tenant_id) from error
        return True

    async def describe_lost(self, tenant_id: str) -> bool:
        """Describe an account anew whose store went back to older facts; say whether it had.

        Newer ones, which others told it, stay. Raises what the ledger does.
        """
        tenant, described = self._tenant(tenant_id), self._described.get(tenant_id, 0)
        if tenant is None or (await self.ledger.read_balance(tenant_id)).version >= described:
            return False
        _log.warning("The account of %s had lost its newest facts and is told them.", tenant_id)
        await self.open(tenant)
        return True

    async def run(self) -> None:
        """Open what waits, round after round, until cancelled."""
        while True:
            self._wanted.clear()
            await self.round()
            pause_seconds = self._pause_seconds if self.waiting else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._wanted.wait()

    async def round(self) -> None:
        """Try each account that waits once, those of a partition one after the other."""
        gate, before = asyncio.Semaphore(AT_ONCE), dict(self._troubles)
        work = {partition: list(found) for partition, found in self._waiting.items() if found}
        tried = await asyncio.gather(
            *(self._open_partition(partition, found, gate) for partition, found in work.items())
        )
        self._tell(before)
        longer = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        self._pause_seconds = longer if all(tried) and self.waiting else FIRST_PAUSE_SECONDS
        self.tried.set()

    async def _open_partition(
        self, partition: int, tenant_ids: list[str], gate: asyncio.Semaphore
    ) -> bool:
        async with gate:
            for tenant_id in tenant_ids:
                try:
                    await self._open_one(tenant_id)
                except (LedgerUnavailable, StoreUnavailable) as error:
                    self._troubles[partition] = str(error)
                    return False
                except Exception as error:  # noqa: BLE001 -- It is told; others go on.
                    self._troubles[tenant_id] = str(error) or repr(error)
                    # Whoever failed without waiting for anything lets others come first, too.
                    await asyncio.sleep(0)
        self._troubles.pop(partition, None)
        return True

    async def _open_one(self, tenant_id: str) -> None:
        tenant = self._tenant(tenant_id)
        if tenant is not None:
            await self._open_or_rest(tenant)
            now = self._tenant(tenant_id)
            if now is not None and now.digest != tenant.digest:
                # Its facts changed meanwhile: the account has to know those in use.
                await self._open_or_rest(now)
        self._note_open(tenant_id)

    async def _open_or_rest(self, tenant: Tenant) -> None:
        try:
            await self.open(tenant)
        except (LedgerUnavailable, StoreUnavailable):
            rest_until = asyncio.get_running_loop().time() + FIRST_PAUSE_SECONDS
            self._rest_until[partition_of(tenant.tenant_id)] = rest_until
            raise

    def _tenant(self, tenant_id: str) -> Tenant | None:
        return self.facts.current.directory.tenants.get(tenant_id)

    def _rests(self, tenant_id: str) -> bool:
        rest_until = self._rest_until.get(partition_of(tenant_id))
        return rest_until is not None and asyncio.get_running_loop().time() < rest_until

    def _note_open(self, tenant_id: str) -> None:
        self._troubles.pop(tenant_id, None)
        self._rest_until.pop(partition_of(tenant_id), None)
        of_partition = self._waiting[partition_of(tenant_id)]
        if tenant_id in of_partition:
            del of_partition[tenant_id]
            self.waiting -= 1
            if not self.waiting:
                self.tell(True)

    def _tell(self, before: dict[str | int, str]) -> None:
        fresh = {each: text for each, text in self._troubles.items() if before.get(each) != text}
        of_tenants = [each for each in fresh if isinstance(each, str)]
        for tenant_id in of_tenants[:_MOST_LINES]:
            text = fresh[tenant_id]
            _log.error("The account of %s was left as it is: %s", tenant_id, text)
        if len(of_tenants) > _MOST_LINES:
            _log.error("... and those of %d tenants more.", len(of_tenants) - _MOST_LINES)
        away = [each for each in self._troubles if isinstance(each, int)]
        if len(of_tenants) < len(fresh):
            _log.error(
                "%d accounts wait to be opened; %d partitions are away: %s",
                *(self.waiting, len(away), self._troubles[away[0]]),
            )
        elif before and not self._troubles:
            _log.info("Every account is open.")
