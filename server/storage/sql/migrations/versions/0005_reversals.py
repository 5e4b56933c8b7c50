"""Money that payment providers took back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "payment_reversals",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("charge_id", sa.String(length=64), nullable=False),
        sa.Column("provider_reference", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("note_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_payment_reversals")),
    )
    op.create_index("ix_payment_reversals_charge_id", "payment_reversals", ["charge_id"])
    op.create_index("ix_payment_reversals_reference", "payment_reversals", ["provider_reference"])
    op.create_index("ix_payment_reversals_settled", "payment_reversals", ["settled", "note_ms"])
    op.create_index("ix_charges_reference", "charges", ["provider_reference"])
    for table, name in (
        ("charges", "reversed_micros"),
        ("charges", "shortfall_micros"),
        ("lots", "taken_micros"),
    ):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, column)
