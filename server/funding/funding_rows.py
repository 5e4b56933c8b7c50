"""How a tenant buys credits: one row each, held while something about its money is settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from server.archive import tables
from server.funding.charge_rows import IN_FLIGHT
from server.funding.tables import CHARGES, FUNDING


@dataclass(slots=True)
class FundingRow:
    """How one tenant buys credits. Money is whole micros of its currency; see the table."""

    tenant_id: str
    billing_country: str = ""
    country: str = ""
    region_override: str = ""
    max_balance_micros: int | None = None
    closed: bool = False
    payment_customer: str = ""
    recharge_enabled: bool = False
    trigger_micros: int = 0
    amount_micros: int = 0
    monthly_limit_micros: int | None = None
    armed: bool = True
    crossing: int = 0
    declines: int = 0
    rest_until_ms: int = 0
    version: int = 0

    @property
    def region_differs(self) -> bool:
        """Whether the billing address is elsewhere and nobody said that it may be."""
        return self.billing_country not in {"", self.country} and not self.region_override


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tenant whose auto-recharge may have something to do, and what was known of it then."""

    tenant_id: str
    version: int


def read_funding(connection: Connection, tenant_id: str) -> FundingRow:
    """Read how a tenant buys credits; what was never said is as it is by default."""
    query = select(FUNDING).where(FUNDING.c.tenant_id == tenant_id)
    return _row(connection.execute(query).mappings().first(), tenant_id)


def account_currency(connection: Connection, tenant_id: str) -> str:
    """Say what an account holds; empty where it was not archived yet."""
    account = tables.ACCOUNTS.c
    query = select(account.currency).where(account.tenant_id == tenant_id)
    return connection.scalar(query) or ""


def hold_funding(connection: Connection, tenant_id: str) -> FundingRow:
    """Read it, and hold it until the transaction ends: who settles money of a tenant is alone."""
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = _values(FundingRow(tenant_id))
    connection.execute(insert(FUNDING).values(**values).on_conflict_do_nothing())
    query = select(FUNDING).where(FUNDING.c.tenant_id == tenant_id).with_for_update()
    return _row(connection.execute(query).mappings().first(), tenant_id)


def save_funding(connection: Connection, row: FundingRow) -> None:
    """Write a row that is held; whoever decided on what it was before decides anew."""
    row.version += 1
    connection.execute(
        update(FUNDING).where(FUNDING.c.tenant_id == row.tenant_id).values(**_values(row))
    )


def recharge_candidates(connection: Connection, now_ms: int) -> list[Candidate]:
    """List who may have to be recharged, or has come back above the trigger.

    By what is archived, a moment old: whoever decides asks the ledger.
    """
    account = tables.ACCOUNTS.c
    balance = (
        account.funded_micros
        + account.post_paid_micros
        + account.refunded_micros
        - account.debited_micros
        - account.expired_micros
        - account.voided_micros
    )
    in_flight = select(CHARGES.c.charge_id).where(
        CHARGES.c.tenant_id == FUNDING.c.tenant_id, CHARGES.c.state.in_(IN_FLIGHT)
    )
    below = and_(
        balance < FUNDING.c.trigger_micros,
        FUNDING.c.rest_until_ms <= now_ms,
        ~in_flight.exists(),
    )
    risen = and_(balance >= FUNDING.c.trigger_micros, FUNDING.c.armed.is_(False))
    query = (
        select(FUNDING.c.tenant_id, FUNDING.c.version)
        .join(tables.ACCOUNTS, account.tenant_id == FUNDING.c.tenant_id)
        .where(FUNDING.c.recharge_enabled, ~FUNDING.c.closed, or_(below, risen))
        .order_by(FUNDING.c.tenant_id)
    )
    return [Candidate(*row) for row in connection.execute(query)]


def due_lots(connection: Connection, now_ms: int) -> Iterable[str]:
    """List tenants that have a lot which is due and not yet taken."""
    lots = tables.LOTS.c
    query = (
        select(lots.tenant_id)
        .where(lots.left_micros > 0, lots.expire_ms <= now_ms, ~lots.voided)
        .distinct()
    )
    return list(connection.scalars(query))


def _row(found: Any, tenant_id: str) -> FundingRow:
    return FundingRow(**dict(found)) if found is not None else FundingRow(tenant_id)


def _values(row: FundingRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FundingRow.__slots__}
