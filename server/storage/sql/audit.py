"""The audit trail: who changed what, when, from what to what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    insert,
    select,
)

from server.storage.sql.metadata import METADATA

# SQLite counts by itself only where the column is a plain INTEGER.
_COUNTED = BigInteger().with_variant(Integer, "sqlite")

# Every administrative change, written in the transaction that makes it; never changed.
AUDIT_TRAIL = Table(
    "audit_trail",
    METADATA,
    Column("audit_id", _COUNTED, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False),
    # Whose change it was: an identity, or "anybody" where none is asked for.
    Column("identity_id", String(128), nullable=False),
    # What was done, by the name of the RPC or command, and to what.
    Column("action", String(64), nullable=False),
    Column("resource", String(512), nullable=False),
    # Empty where the change belongs to no single tenant.
    Column("tenant_id", String(128), nullable=False),
    # JSON; absent before a creation and after a removal.
    Column("before", Text),
    Column("after", Text),
    Index("ix_audit_trail_tenant_id", "tenant_id", "audit_id"),
)

# What a thing was: its fields by name, as JSON knows them. Money is whole micros; never a secret.
Image = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audited:
    """What was changed.

    `action` is the RPC or command ("UpdateUser"), `resource` the thing by its path
    ("tenants/contoso/users/adele"), `tenant_id` empty where it belongs to no single tenant.
    """

    action: str
    resource: str
    tenant_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Writes down changes in the transactions that make them; `now_ms` is the time of day."""

    now_ms: Callable[[], int]

    def record(
        self,
        connection: Connection,
        who: str,
        what: Audited,
        *,
        before: Image | None,
        after: Image | None,
    ) -> None:
        """Write one change down, to be committed with it or not at all.

        `before` is None for what is new, `after` for what is gone.
        """
        self.record_many(connection, who, [(what, before, after)])

    def record_many(
        self,
        connection: Connection,
        who: str,
        changes: Iterable[tuple[Audited, Image | None, Image | None]],
    ) -> None:
        """Write many changes of one transaction down: each what, before and after."""
        time_ms = self.now_ms()
        rows = [
            {
                "time_ms": time_ms,
                "identity_id": who,
                "action": what.action,
                "resource": what.resource,
                "tenant_id": what.tenant_id,
                "before": _text(before),
                "after": _text(after),
            }
            for what, before, after in changes
        ]
        if rows:
            connection.execute(insert(AUDIT_TRAIL), rows)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change as it was written down; `before` and `after` are JSON."""

    audit_id: int
    time_ms: int
    identity_id: str
    what: Audited
    before: str | None
    after: str | None


def read_trail(
    connection: Connection, tenant_id: str | None, before_id: int | None, *, limit: int
) -> list[AuditEntry]:
    """Read changes, the newest first: of one tenant or of all, older than one of them or all."""
    wanted = select(AUDIT_TRAIL).order_by(AUDIT_TRAIL.c.audit_id.desc()).limit(limit)
    if tenant_id is not None:
        wanted = wanted.where(AUDIT_TRAIL.c.tenant_id == tenant_id)
    if before_id is not None:
        wanted = wanted.where(AUDIT_TRAIL.c.audit_id < before_id)
    return list(map(_read, connection.execute(wanted).mappings()))


def newest_change(connection: Connection, tenant_id: str, resource: str) -> AuditEntry | None:
    """Read the newest change to one thing of a tenant, by its path."""
    trail = AUDIT_TRAIL.c
    wanted = (
        select(AUDIT_TRAIL)
        .where(trail.tenant_id == tenant_id, trail.resource == resource)
        .order_by(trail.audit_id.desc())
        .limit(1)
    )
    found = connection.execute(wanted).mappings().first()
    return None if found is None else _read(found)


def _read(row: Mapping[Any, Any]) -> AuditEntry:
    return AuditEntry(
        row["audit_id"],
        row["time_ms"],
        row["identity_id"],
        Audited(row["action"], row["resource"], row["tenant_id"]),
        row["before"],
        row["after"],
    )


def _text(image: Image | None) -> str | None:
    return None if image is None else json.dumps(image, sort_keys=True, ensure_ascii=False)
