"""When an account was frozen or limited last: what was asked earlier and comes late is past.

Of accounts that are there it is not known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    for name in ("freezing_ms", "limiting_ms"):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        op.add_column("accounts", column)
