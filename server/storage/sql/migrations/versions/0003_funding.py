"""Funding and payments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    _make_funding()
    _make_requests()
    _make_charges()
    limit = sa.Column("credit_limit_micros", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("accounts", limit)
    # A statement reads the journal of one tenant by time.
    op.create_index("ix_journal_tenant_time", "journal", ["tenant_id", "time_ms"])


def _make_funding() -> None:
    op.create_table(
        "funding",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("billing_country", sa.String(length=2), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("region_override", sa.String(length=256), nullable=False),
        sa.Column("max_balance_micros", sa.BigInteger(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("payment_customer", sa.String(length=255), nullable=False),
        sa.Column("recharge_enabled", sa.Boolean(), nullable=False),
        sa.Column("trigger_micros", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("monthly_limit_micros", sa.BigInteger(), nullable=True),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("crossing", sa.BigInteger(), nullable=False),
        sa.Column("declines", sa.Integer(), nullable=False),
        sa.Column("rest_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_funding")),
    )


def _make_requests() -> None:
    op.create_table(
        "funding_requests",
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("identity_id", sa.String(length=128), nullable=False),
        sa.Column("accept_ms", sa.BigInteger(), nullable=False),
        sa.Column("finish_ms", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=False),
        sa.Column("claim_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.String(length=192), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name=op.f("pk_funding_requests")),
    )
    op.create_index("ix_funding_requests_archived", "funding_requests", ["archived", "state"])
    op.create_index("ix_funding_requests_reference", "funding_requests", ["tenant_id", "reference"])


def _make_charges() -> None:
    op.create_table(
        "charges",
        sa.Column("charge_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=128), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("crossing", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("payment_customer", sa.String(length=255), nullable=False),
        sa.Column("expire_ms", sa.BigInteger(), nullable=False),
        sa.Column("provider_reference", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=255), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_ms", sa.BigInteger(), nullable=False),
        sa.Column("create_ms", sa.BigInteger(), nullable=False),
        sa.Column("finish_ms", sa.BigInteger(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("charge_id", name=op.f("pk_charges")),
        sa.UniqueConstraint("tenant_id", "crossing", "attempt", name=op.f("uq_charges_tenant_id")),
    )
    op.create_index("ix_charges_state", "charges", ["state"])
    op.create_index("ix_charges_archived", "charges", ["archived", "state"])
    op.create_index("ix_charges_tenant_id", "charges", ["tenant_id", "create_ms"])
