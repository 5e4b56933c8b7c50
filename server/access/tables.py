"""The tables of who may ask, and of what they changed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

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

# Identities that were made by an RPC; those of the file stand nowhere here.
IDENTITIES = Table(
    "identities",
    METADATA,
    Column("identity_id", String(64), primary_key=True),
    # Words, with spaces between them.
    Column("roles", String(128), nullable=False),
    # JSON: a list, or null for all.
    Column("tenants", Text, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
    # Grows with each change of the identity or its tokens.
    Column("version", BigInteger, nullable=False),
)

# Tokens by their hash: what was given out is kept nowhere.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("identity_id", String(64), nullable=False, index=True),
    Column("create_ms", BigInteger, nullable=False),
    # Absent where it has no end.
    Column("expire_ms", BigInteger),
    ForeignKeyConstraint(["identity_id"], ["identities.identity_id"], ondelete="CASCADE"),
)

# One row, changed with every identity or token, so that looking for changes costs one read.
IDENTITY_CHANGES = Table(
    "identity_changes",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)
