"""Use that was reported of calls beyond what can have passed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    column = sa.Column("implausible_seconds", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("calls", column)
