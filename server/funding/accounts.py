"""Accounts in the ledger, read for those who may."""

from __future__ import annotations

from dataclasses import dataclass

from server.access import find_tenant_by_id
from server.calls.opening import Opening
from server.facts import FactsInUse
from server.ledger import AccountUnknown, Balance, Ledger, LedgerUnavailable
from server.ledger.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of this engine's tenants."""

    facts: FactsInUse
    ledger: Ledger
    opening: Opening
    deadline: Deadline

    async def balance(self, tenant_id: str, remaining_seconds: float | None) -> Balance:
        """Read the balance of a tenant.

        Raises `TenantForbidden`, `AccountMissing` and `LedgerUnavailable`.
        """
        find_tenant_by_id(tenant_id, self.facts.current.directory)
        try:
            async with self.deadline.timeout(remaining_seconds):
                try:
                    return await self.ledger.read_balance(tenant_id)
                except AccountUnknown:
                    await self.opening.hurry(tenant_id)
                    return await self.ledger.read_balance(tenant_id)
        except AccountUnknown as error:
            raise self.opening.missing(tenant_id) from error
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
