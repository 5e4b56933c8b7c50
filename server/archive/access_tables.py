"""The tables of who may ask, and of what they changed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from server.archive.tables import METADATA

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
