"""The tables of who may ask, and of what they changed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Integer, String, Table, Text

from server.storage.sql.metadata import METADATA

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
