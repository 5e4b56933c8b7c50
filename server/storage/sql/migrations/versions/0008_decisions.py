"""Decision records; on PostgreSQL the tables of their days are partitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXTS = (
    ("tenant_id", 128),
    ("decision_id", 64),
    ("gateway_id", 128),
    ("call_id", 255),
    ("outcome", 16),
    ("reason", 32),
    ("account_id", 128),
    ("payer_id", 128),
    ("far_hash", 32),
    ("dialled_hash", 32),
    ("calling_hash", 32),
)
_INDEXES = {
    "time": ("tenant_id", "time_ms"),
    "far": ("tenant_id", "far_hash", "time_ms"),
    "account": ("tenant_id", "account_id", "time_ms"),
    "reason": ("tenant_id", "reason", "time_ms"),
    "call": ("tenant_id", "call_id", "time_ms"),
    "decision": ("tenant_id", "decision_id", "time_ms"),
    "payer": ("tenant_id", "payer_id", "time_ms"),
    "dialled": ("tenant_id", "dialled_hash", "time_ms"),
    "calling": ("tenant_id", "calling_hash", "time_ms"),
}


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "decisions",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("place", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in _TEXTS),
        sa.Column("body", sa.Text(), nullable=False),
        postgresql_partition_by="RANGE (day)",
    )
    for name, columns in _INDEXES.items():
        op.create_index(f"ix_decisions_{name}", "decisions", list(columns))
