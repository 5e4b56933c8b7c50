"""Names of people of up to 128 characters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("directory_items", "directory_staged")
_COLUMNS = ("item_id", "account_id")


def upgrade() -> None:
    """Make the change."""
    for table in _TABLES:
        # SQLite changes no column: the table is written anew.
        with op.batch_alter_table(table) as batch:
            for column in _COLUMNS:
                batch.alter_column(
                    column,
                    type_=sa.String(length=128),
                    existing_type=sa.String(length=64),
                    existing_nullable=False,
                )
