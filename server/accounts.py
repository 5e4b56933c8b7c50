"""Accounts in the ledger: opened as the facts describe them, read for those who may."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from policy.facts import FundingModel, Tenant
from server.access import find_tenant_by_id
from server.deadline import Deadline
from server.errors import AccountMissing
from server.facts import FactsKeeper
from server.ledger import (
    AccountUnknown,
    Balance,
    CurrencyChanged,
    Ledger,
    LedgerDamaged,
    LedgerError,
    LedgerUnavailable,
    OpenAccount,
)
from server.store import StoreUnavailable

_log = logging.getLogger(__name__)

_MS_PER_DAY = 86_400_000
_HAS_BALANCE = frozenset({FundingModel.PREPAID, FundingModel.DRAIN_THEN_POST_PAID})


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of this engine's tenants."""

    facts: FactsKeeper
    ledger: Ledger
    now_ms: Callable[[], int]
    opening_balance_days: int
    store_name: str
    deadline: Deadline

    async def open(self, tenants: Iterable[Tenant]) -> None:
        """Open or re-describe accounts; never changes money. Raises `LedgerUnavailable`.

        An account that cannot follow its facts is told to the operator and left as it is: its
        tenant's questions fail, FACTS_BEHIND, and nobody else's.
        """
        for tenant in tenants:
            try:
                await self._open_one(tenant)
            except (CurrencyChanged, LedgerDamaged) as error:
                _log.error("The account of %s was left as it is: %s", tenant.tenant_id, error)

    async def announce(self, tenant: Tenant) -> bool:
        """Re-describe one account by new facts; say whether it knows them now. Never raises."""
        try:
            await self._open_one(tenant)
        except (LedgerError, StoreUnavailable) as error:
            _log.warning("The account of %s keeps its old facts: %s", tenant.tenant_id, error)
            return False
        return True

    async def _open_one(self, tenant: Tenant) -> None:
        await self.ledger.open_account(
            OpenAccount(
                tenant_id=tenant.tenant_id,
                currency=tenant.currency,
                facts_digest=tenant.digest,
                prepaid=tenant.funding_model in _HAS_BALANCE,
                opening_balance_micros=tenant.opening_balance_micros,
                opening_expire_ms=self.now_ms() + self.opening_balance_days * _MS_PER_DAY,
            )
        )

    async def balance(self, tenant_id: str, remaining_seconds: float | None) -> Balance:
        """Read the balance of a tenant.

        Raises `TenantForbidden`, `AccountMissing` and `LedgerUnavailable`.
        """
        find_tenant_by_id(tenant_id, self.facts.current.directory)
        try:
            async with self.deadline.timeout(remaining_seconds):
                return await self.ledger.read_balance(tenant_id)
        except AccountUnknown as error:
            raise AccountMissing(tenant_id, self.store_name) from error
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
