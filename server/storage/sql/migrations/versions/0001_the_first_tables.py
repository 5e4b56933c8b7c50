"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "accounts",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("prepaid", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(length=128), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("has_balance", sa.Boolean(), nullable=False),
        sa.Column("funded_micros", sa.BigInteger(), nullable=False),
        sa.Column("post_paid_micros", sa.BigInteger(), nullable=False),
        sa.Column("debited_micros", sa.BigInteger(), nullable=False),
        sa.Column("refunded_micros", sa.BigInteger(), nullable=False),
        sa.Column("expired_micros", sa.BigInteger(), nullable=False),
        sa.Column("voided_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_accounts")),
    )
    op.create_index(op.f("ix_accounts_partition"), "accounts", ["partition"], unique=False)
    op.create_table(
        "calls",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("opened_id", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=128), nullable=False),
        sa.Column("call_id", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("purses_text", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("report_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_seconds", sa.BigInteger(), nullable=False),
        sa.Column("overrun_seconds", sa.BigInteger(), nullable=False),
        sa.Column("unpaid_seconds", sa.BigInteger(), nullable=False),
        sa.Column("unpaid_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "opened_id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_call_id", "calls", ["tenant_id", "call_id"], unique=False)
    op.create_index("ix_calls_report_ms", "calls", ["report_ms"], unique=False)
    op.create_index("ix_calls_state", "calls", ["tenant_id", "state"], unique=False)
    op.create_table(
        "journal",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("previous_nonce", sa.String(length=64), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "epoch", "n", name=op.f("pk_journal")),
        sa.UniqueConstraint(
            "partition", "nonce", "previous_nonce", name=op.f("uq_journal_partition")
        ),
    )
    op.create_index("ix_journal_tenant_id", "journal", ["tenant_id", "epoch", "n"], unique=False)
    op.create_index("ix_journal_time_ms", "journal", ["time_ms"], unique=False)
    op.create_table(
        "lots",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("lot_id", sa.String(length=192), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("left_micros", sa.BigInteger(), nullable=False),
        sa.Column("purchase_ms", sa.BigInteger(), nullable=False),
        sa.Column("expire_ms", sa.BigInteger(), nullable=False),
        sa.Column("voided", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "lot_id", name=op.f("pk_lots")),
    )
    op.create_table(
        "movements",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("movement_id", sa.String(length=192), nullable=False),
        sa.Column("text", sa.String(length=255), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "movement_id", name=op.f("pk_movements")),
    )
    op.create_table(
        "partitions",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_partitions")),
    )
    op.create_table(
        "tallies",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("field", sa.String(length=255), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "field", name=op.f("pk_tallies")),
    )
    op.create_table(
        "usage_records",
        sa.Column("usage_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("opened_id", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=128), nullable=False),
        sa.Column("call_id", sa.String(length=255), nullable=False),
        sa.Column("conference_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=128), nullable=False),
        sa.Column("user_location", sa.String(length=2), nullable=False),
        sa.Column("object_id", sa.String(length=128), nullable=False),
        sa.Column("upn", sa.String(length=128), nullable=False),
        sa.Column("display_name", sa.String(length=128), nullable=False),
        sa.Column("caller_id", sa.String(length=128), nullable=False),
        sa.Column("call_type", sa.String(length=32), nullable=False),
        sa.Column("call_direction", sa.String(length=32), nullable=False),
        sa.Column("number_type", sa.String(length=16), nullable=False),
        sa.Column("domestic", sa.String(length=16), nullable=False),
        sa.Column("destination_dialed", sa.String(length=64), nullable=False),
        sa.Column("destination_number", sa.String(length=32), nullable=False),
        sa.Column("external_country", sa.String(length=16), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_seconds", sa.BigInteger(), nullable=False),
        sa.Column("connection_fee_micros", sa.BigInteger(), nullable=False),
        sa.Column("charge_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("capability", sa.String(length=64), nullable=False),
        sa.Column("operator", sa.String(length=32), nullable=False),
        sa.Column("duration_source", sa.String(length=32), nullable=False),
        sa.Column("administrative_units", sa.String(length=64), nullable=False),
        sa.Column("purse", sa.String(length=16), nullable=False),
        sa.Column("pool_id", sa.String(length=128), nullable=False),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("correction", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name=op.f("pk_usage_records")),
    )
    op.create_index(
        "ix_usage_records_opened_id", "usage_records", ["tenant_id", "opened_id"], unique=False
    )
    op.create_index(
        "ix_usage_records_tenant_id", "usage_records", ["tenant_id", "end_ms"], unique=False
    )
    op.create_table(
        "call_uses",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("opened_id", sa.String(length=64), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("purse_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("recorded_seconds", sa.BigInteger(), nullable=False),
        sa.Column("recorded_micros", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "opened_id"],
            ["calls.tenant_id", "calls.opened_id"],
            name=op.f("fk_call_uses_calls"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "opened_id", "part", "purse_index", name=op.f("pk_call_uses")
        ),
    )
