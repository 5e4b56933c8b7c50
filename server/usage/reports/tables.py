"""The tables of reports: which are saved, and which months are closed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from server.storage.sql.metadata import METADATA

# Reports that tenants saved, each with the period that is sent next.
USAGE_REPORTS = Table(
    "usage_reports",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    Column("name", String(64), primary_key=True),
    # Another one for each report that is saved, also under a name that was used before.
    Column("report_id", String(32), nullable=False),
    # JSON: which records.
    Column("body", Text, nullable=False),
    # 2025, 2021, all or jsonl.
    Column("form", String(8), nullable=False),
    # day, week or month; empty where it is not sent.
    Column("every", String(8), nullable=False),
    # The period that is sent next: fixed once the one before was, and never changed.
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Index("ix_usage_reports_to_ms", "to_ms"),
)

# Months that are over, without a gap from the first record of a tenant on; never changed.
CLOSED_MONTHS = Table(
    "closed_months",
    METADATA,
    Column("tenant_id", String(128), primary_key=True),
    # As 2026-11.
    Column("month", String(7), primary_key=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    # Of the CSV with the columns of 2025.
    Column("sha256", String(64), nullable=False),
    Column("close_ms", BigInteger, nullable=False),
)
