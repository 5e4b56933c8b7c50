"""When a usage record was booked: its calls were over before or then, and it counts in that month.

Of records that are there the end of the call is the nearest that is known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "usage_records",
        sa.Column("book_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.execute("UPDATE usage_records SET book_ms = end_ms")
    op.create_index("ix_usage_records_book", "usage_records", ["tenant_id", "book_ms", "usage_id"])
    op.create_index(
        "ix_usage_records_account", "usage_records", ["tenant_id", "account_id", "book_ms"]
    )
