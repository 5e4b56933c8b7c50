"""The runs of the store: one that began anew may lack a tail that nobody else knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table("store_runs", sa.Column("run_id", sa.String(64), primary_key=True))
