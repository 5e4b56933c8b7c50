"""What the CreditService works with, and what all of its methods begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from callgate.v1 import credits_pb2 as pb
from policy.facts import FundingModel, Tenant
from server.access import current, find_tenant_by_id
from server.access.errors import RoleMissing
from server.access.roles import Role
from server.calls.messages import fields as limits
from server.funding.accounts import Accounts
from server.funding.applying import Kind
from server.funding.charging import Charging
from server.funding.errors import FundingRefused, Why
from server.funding.funding_rows import FundingRow, account_currency
from server.funding.purchase_rules import PurchaseRules
from server.funding.request_rows import FundingRequest
from server.funding.requests import Asked, FundingRequests
from server.ledger import AccountUnknown
from server.services.credits import fields as money_request
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable

# Reads and writes of SQL, and a step of the ledger; a caller's shorter deadline counts.
MOST_SECONDS = 10.0

_WITHOUT_AMOUNTS = frozenset({Kind.VOID_LOT, Kind.FREEZE, Kind.CLOSE})
_HAS_BALANCE = frozenset({FundingModel.PREPAID, FundingModel.DRAIN_THEN_POST_PAID})


@dataclass(frozen=True, slots=True)
class CreditParts:
    """What it works with. Without `charging`, nobody's means of payment can be charged."""

    accounts: Accounts
    database: Database
    funding_requests: FundingRequests
    charging: Charging | None
    rules: PurchaseRules
    now_ms: Callable[[], int]

    def tenant(self, tenant_id: str, field: str = "tenant_id") -> Tenant:
        """Find the tenant of a question. Raises `InvalidRequest` and `TenantForbidden`."""
        known = self.accounts.facts.current.directory
        return find_tenant_by_id(limits.tenant_id(tenant_id, field), known)

    def lot_expire_ms(self, request: pb.TopUpRequest | pb.TransferRequest, tenant: Tenant) -> int:
        """Say when a new lot of a tenant expires: as wanted, or after the usual time."""
        if request.HasField("expire_time"):
            return money_request.expire_ms(request.expire_time, self.now_ms())
        return self.rules.lot_life.expire_ms(self.now_ms(), tenant.time_zone)

    async def ask(self, asked: Asked, remaining_seconds: float | None) -> FundingRequest:
        """Ask the treasury, in time."""
        async with in_time(remaining_seconds), known_account(self, asked.tenant_id):
            return await self.funding_requests.ask(asked)


def asked_for(
    tenant: Tenant,
    request_id: str,
    kind: Kind,
    *,
    content: Mapping[str, str],
    body: Mapping[str, Any],
) -> Asked:
    """Build a request that nothing in the archive has a say in, but a closed account."""

    def settle(_: Connection, row: FundingRow) -> Mapping[str, Any]:
        require_open(row)
        return body

    return Asked(
        tenant_id=tenant.tenant_id,
        request_id=money_request.request_id(request_id),
        kind=kind,
        identity_id=current().identity_id,
        content=content,
        settle=settle,
        currency="" if kind in _WITHOUT_AMOUNTS else tenant.currency,
    )


def currency_of(connection: Connection, tenant: Tenant) -> str:
    """Say in what a tenant's money is told: what its account holds, whatever its entry says now."""
    return account_currency(connection, tenant.tenant_id) or tenant.currency


def require_open(row: FundingRow) -> None:
    """Refuse what a closed account is not for."""
    if row.closed:
        raise FundingRefused(Why.ACCOUNT_CLOSED, "The account is closed.")


def require_balance(tenant: Tenant) -> None:
    """Refuse a tenant that has no balance to put money into."""
    if tenant.funding_model not in _HAS_BALANCE:
        text = f"{tenant.tenant_id} is {tenant.funding_model.value}: it has no balance to fund."
        metadata = {"funding_model": tenant.funding_model.value}
        raise FundingRefused(Why.FUNDING_MODEL, text, metadata)


def require_operator() -> None:
    """Refuse what only who runs the engine may do."""
    if Role.OPERATOR not in current().roles:
        raise RoleMissing("Only an operator may do this.")


@asynccontextmanager
async def known_account(parts: CreditParts, tenant_id: str) -> AsyncIterator[None]:
    """Tell an account that was never opened as what it is; one that waits for it is opened."""
    opening = parts.accounts.opening
    await opening.hurry(tenant_id)
    try:
        yield
    except AccountUnknown as error:
        raise opening.missing(tenant_id) from error


@asynccontextmanager
async def in_time(remaining_seconds: float | None) -> AsyncIterator[None]:
    """End what takes longer than its caller waits, or than it may. Raises `ArchiveUnavailable`."""
    seconds = MOST_SECONDS if remaining_seconds is None else min(remaining_seconds, MOST_SECONDS)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ArchiveUnavailable("no answer in time") from error
