"""The tables of the archive: what must outlive Redis.

Money is whole micros; times are milliseconds since 1970, UTC. The migrations make these tables;
docs/archive.md tells what each is for.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from server.storage.sql.metadata import METADATA

# How far each partition's journal is archived.
PARTITIONS = Table(
    "partitions",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("nonce", String(64), nullable=False),
)

# Every change of money and time, as the ledger wrote it down.
# A run of a primary, by the id that it gives itself.
STORE_RUNS = Table("store_runs", METADATA, Column("run_id", String(64), primary_key=True))
JOURNAL = Table(
    "journal",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("nonce", String(64), nullable=False),
    Column("previous_nonce", String(64), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("tenant_id", String(128), nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("partition", "nonce", "previous_nonce"),
    Index("ix_journal_tenant_id", "tenant_id", "epoch", "n"),
    Index("ix_journal_time_ms", "time_ms"),
    Index("ix_journal_tenant_time", "tenant_id", "time_ms"),
)

# The sums from which an account is opened again. Nothing is held there: reservations are Redis's.
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("partition", Integer, nullable=False, index=True),
    Column("currency", String(3), nullable=False),
    Column("prepaid", Boolean, nullable=False),
    Column("digest", String(128), nullable=False),
    # How often the account was described; in Redis it only grows.
    Column("version", BigInteger, nullable=False),
    # Whether nothing more is granted, because somebody said so.
    Column("frozen", Boolean, nullable=False),
    # How far below zero it may go because somebody said so; what its facts say comes on top.
    Column("credit_limit_micros", BigInteger, nullable=False, server_default="0"),
    # When the last of these two was asked for: what was asked earlier and comes late is past.
    Column("freezing_ms", BigInteger, nullable=False, server_default="0"),
    Column("limiting_ms", BigInteger, nullable=False, server_default="0"),
    # Whether money ever came in; before, there is no balance, not one of zero.
    Column("has_balance", Boolean, nullable=False),
    Column("funded_micros", BigInteger, nullable=False),
    Column("post_paid_micros", BigInteger, nullable=False),
    Column("debited_micros", BigInteger, nullable=False),
    Column("refunded_micros", BigInteger, nullable=False),
    Column("expired_micros", BigInteger, nullable=False),
    Column("voided_micros", BigInteger, nullable=False),
)

# What was debited of each pool and of each spend limit: seconds and micros by the ledger's names.
TALLIES = Table(
    "tallies",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("field", String(255), primary_key=True),
    Column("done", BigInteger, nullable=False),
)

# Purchases of credits, also those used up.
LOTS = Table(
    "lots",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("lot_id", String(192), primary_key=True),
    Column("micros", BigInteger, nullable=False),
    Column("left_micros", BigInteger, nullable=False),
    Column("purchase_ms", BigInteger, nullable=False),
    Column("expire_ms", BigInteger, nullable=False),
    Column("voided", Boolean, nullable=False),
    # What left it without being spent: expired or voided.
    Column("taken_micros", BigInteger, nullable=False, server_default="0"),
)

# Debits and refunds without a call, each applied once; `text` is how the ledger remembers it.
MOVEMENTS = Table(
    "movements",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("movement_id", String(192), primary_key=True),
    Column("text", String(255), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
)

# Calls that were granted. `opened_id` is the decision that began one: call ids are used again.
CALLS = Table(
    "calls",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("opened_id", String(64), primary_key=True),
    Column("gateway_id", String(128), nullable=False),
    Column("call_id", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    # Counts how often other purses took over; uses are counted anew then.
    Column("part", Integer, nullable=False),
    Column("purses_text", Text, nullable=False),
    # The purses and the description of the call, as JSON.
    Column("facts", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("report_ms", BigInteger, nullable=False),
    Column("used_seconds", BigInteger, nullable=False),
    Column("overrun_seconds", BigInteger, nullable=False),
    Column("unpaid_seconds", BigInteger, nullable=False),
    Column("unpaid_micros", BigInteger, nullable=False),
    # Reported beyond what can have passed, until it is settled.
    Column("implausible_seconds", BigInteger, nullable=False, server_default="0"),
    Index("ix_calls_call_id", "tenant_id", "call_id"),
    Index("ix_calls_state", "tenant_id", "state"),
    Index("ix_calls_report_ms", "report_ms"),
)

# What each purse paid of a call: in all, and what of it stands in usage records already.
CALL_USES = Table(
    "call_uses",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("opened_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("purse_index", Integer, primary_key=True, autoincrement=False),
    Column("seconds", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("recorded_seconds", BigInteger, nullable=False),
    Column("recorded_micros", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "opened_id"],
        ["calls.tenant_id", "calls.opened_id"],
        ondelete="CASCADE",
    ),
)

# One line a purse a call, for billing; never changed: what comes late is a further line.
USAGE_RECORDS = Table(
    "usage_records",
    METADATA,
    Column("usage_id", String(36), primary_key=True),
    Column("tenant_id", String(128), nullable=False),
    Column("opened_id", String(64), nullable=False),
    Column("gateway_id", String(128), nullable=False),
    Column("call_id", String(255), nullable=False),
    Column("conference_id", String(64), nullable=False),
    Column("account_id", String(128), nullable=False),
    Column("user_location", String(2), nullable=False),
    Column("object_id", String(128), nullable=False),
    Column("upn", String(128), nullable=False),
    Column("display_name", String(128), nullable=False),
    Column("caller_id", String(128), nullable=False),
    Column("call_type", String(32), nullable=False),
    Column("call_direction", String(32), nullable=False),
    Column("number_type", String(16), nullable=False),
    Column("domestic", String(16), nullable=False),
    Column("destination_dialed", String(64), nullable=False),
    Column("destination_number", String(32), nullable=False),
    Column("external_country", String(16), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("duration_seconds", BigInteger, nullable=False),
    Column("connection_fee_micros", BigInteger, nullable=False),
    # All that the purse paid, the connection fee included.
    Column("charge_micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("capability", String(64), nullable=False),
    Column("operator", String(32), nullable=False),
    Column("duration_source", String(32), nullable=False),
    Column("administrative_units", String(64), nullable=False),
    # "free", "pool" or "credits"; and of a pool which one, in which period.
    Column("purse", String(16), nullable=False),
    Column("pool_id", String(128), nullable=False),
    Column("period", String(16), nullable=False),
    # Whether an earlier line of the same call and purse is corrected by this one.
    Column("correction", Boolean, nullable=False),
    # When it was written, by the ledger's clock, which never runs back in a partition: the record
    # counts in the day and month of this time, and nothing is booked later into one that is over.
    Column("book_ms", BigInteger, nullable=False, server_default="0"),
    Index("ix_usage_records_tenant_id", "tenant_id", "end_ms"),
    Index("ix_usage_records_book", "tenant_id", "book_ms", "usage_id"),
    Index("ix_usage_records_account", "tenant_id", "account_id", "book_ms"),
    Index("ix_usage_records_opened_id", "tenant_id", "opened_id"),
)
