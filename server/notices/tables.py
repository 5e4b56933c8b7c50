"""The tables of notices: what tenants are to be told, to whom, and what of it went out."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from server.storage.sql.metadata import METADATA

# Whom a tenant wants told, and of what; written by whoever holds the facts. One row a tenant.
NOTICE_SETTINGS = Table(
    "notice_settings",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    # JSON: recipients, language, webhook, thresholds.
    Column("body", Text, nullable=False),
)

# How far each tenant is from being told something again; moved with the journal, entry by entry.
NOTICE_MARKS = Table(
    "notice_marks",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("mark", String(255), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# What happened, once a crossing.
NOTICES = Table(
    "notices",
    METADATA,
    # Made of the three that follow, so that the same crossing has the same id wherever it is seen.
    Column("notice_id", String(64), primary_key=True),
    Column("tenant_id", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("crossing_key", String(255), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    # JSON: what its text is made of.
    Column("facts", Text, nullable=False),
    # new, addressed; or unaddressed, where nobody was to be told.
    Column("state", String(16), nullable=False),
    Index("ix_notices_tenant_id", "tenant_id", "time_ms"),
    Index("ix_notices_state", "state"),
)

# One row for each mail and each webhook of a notice.
NOTICE_DELIVERIES = Table(
    "notice_deliveries",
    METADATA,
    Column("notice_id", String(64), primary_key=True),
    # mail or webhook.
    Column("channel", String(16), primary_key=True),
    # The address of a person; empty for the webhook.
    Column("target", String(320), primary_key=True),
    # Counts how often somebody asked for it to be sent once more.
    Column("round", Integer, primary_key=True, autoincrement=False),
    # waiting, claimed, sending, sent, failed or uncertain.
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    # Not before; and of one that is claimed or sending, until when its claim holds.
    Column("due_ms", BigInteger, nullable=False),
    # Whose claim it is.
    Column("claim", String(32), nullable=False),
    Column("finish_ms", BigInteger, nullable=False),
    # Why the last attempt failed.
    Column("trouble", String(255), nullable=False),
    ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], ondelete="CASCADE"),
    Index("ix_notice_deliveries_state", "state", "due_ms"),
)

# What goes with the mails of a notice; kept for a while.
NOTICE_FILES = Table(
    "notice_files",
    METADATA,
    Column("notice_id", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], ondelete="CASCADE"),
)

# Events that others posted to us, each taken once.
WEBHOOK_EVENTS = Table(
    "webhook_events",
    METADATA,
    # Who sent it: the name of a route.
    Column("source", String(32), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    Index("ix_webhook_events_time_ms", "time_ms"),
)
