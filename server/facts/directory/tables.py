"""The tables of the directory: tenants, and what they own, spelled as in their files.

Every change gets the next revision of the one counter, so that whoever knows one revision can ask
for what came after it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from server.storage.sql.metadata import METADATA

# One row: the newest revision. Who changes the directory moves it first, and so waits its turn.
DIRECTORY_STATE = Table(
    "directory_state",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

# What a tenant's file says beside its users, resource accounts and service numbers, as JSON.
DIRECTORY_TENANTS = Table(
    "directory_tenants",
    METADATA,
    Column("tenant_id", String(64), primary_key=True),
    # Of the last change of anything that is the tenant's.
    Column("revision", BigInteger, nullable=False, index=True),
    # Of its creation: what was known of the id before is no longer true.
    Column("begin_revision", BigInteger, nullable=False),
    # Of the last change of `body`.
    Column("body_revision", BigInteger, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
    Column("update_ms", BigInteger, nullable=False),
    # The row of a deleted tenant stays, so that others learn of it.
    Column("deleted", Boolean, nullable=False),
    Column("body", Text, nullable=False),
)

# Users, resource accounts and service numbers, told apart by `kind`.
DIRECTORY_ITEMS = Table(
    "directory_items",
    METADATA,
    Column("tenant_id", String(64), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("item_id", String(128), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    # A number has one holder, in whichever tenant.
    Column("number", String(16), nullable=True, unique=True),
    # The resource account that is spoken of.
    Column("account_id", String(128), nullable=False),
    # Of a deleted item the row stays, so that others learn of it: without a body.
    Column("body", Text, nullable=True),
    Index("ix_directory_items_revision", "tenant_id", "revision"),
    Index("ix_directory_items_account_id", "tenant_id", "account_id"),
)

# How many accounts of a tenant have each licence, by its name in capitals.
DIRECTORY_LICENCES = Table(
    "directory_licences",
    METADATA,
    Column("tenant_id", String(64), primary_key=True),
    Column("licence", String(64), primary_key=True),
    Column("assigned", BigInteger, nullable=False),
)

# What an import is about to change; it lies here until one transaction takes it over, or until
# another import finds it to be left over.
DIRECTORY_STAGED = Table(
    "directory_staged",
    METADATA,
    Column("import_id", String(36), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("item_id", String(128), primary_key=True),
    Column("create_ms", BigInteger, nullable=False, index=True),
    Column("number", String(16), nullable=True),
    Column("account_id", String(128), nullable=False),
    Column("body", Text, nullable=True),
)
