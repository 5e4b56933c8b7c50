"""What a store must know of accounts because the archive does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.archive import tables


@dataclass(frozen=True, slots=True)
class ArchivedAccount:
    """An account; whether it was given its opening lot, and the tallies that count something."""

    tenant_id: str
    has_opening_lot: bool
    tallies: tuple[str, ...]


def list_accounts(connection: Connection, partition: int) -> list[ArchivedAccount]:
    """List the accounts of a partition."""
    accounts, lots, tallies = tables.ACCOUNTS.c, tables.LOTS.c, tables.TALLIES.c
    here = accounts.partition == partition
    tenants = list(connection.scalars(select(accounts.tenant_id).where(here)))
    given = select(lots.tenant_id).join(
        tables.ACCOUNTS,
        (accounts.tenant_id == lots.tenant_id) & (lots.lot_id == "opening:" + lots.tenant_id),
    )
    opened = set(connection.scalars(given.where(here)))
    counted = select(tallies.tenant_id, tallies.field).join(
        tables.ACCOUNTS, accounts.tenant_id == tallies.tenant_id
    )
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for tenant_id, field in connection.execute(counted.where(here, tallies.done > 0)):
        fields[tenant_id].append(field)
    return [
        ArchivedAccount(tenant_id, tenant_id in opened, tuple(fields[tenant_id]))
        for tenant_id in tenants
    ]
