"""Saved reports of usage, months that are closed, and files that go with notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "usage_reports",
        sa.Column("tenant_id", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("report_id", sa.String(32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("form", sa.String(8), nullable=False),
        sa.Column("every", sa.String(8), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_usage_reports_to_ms", "usage_reports", ["to_ms"])
    op.create_table(
        "closed_months",
        sa.Column("tenant_id", sa.String(128), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("close_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "notice_files",
        sa.Column("notice_id", sa.String(64), primary_key=True),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], ondelete="CASCADE"),
    )
    op.create_index("ix_notice_files_time_ms", "notice_files", ["time_ms"])
