"""How Alembic runs the migrations: on the connection, and in the transaction, of who asks."""

from __future__ import annotations

from alembic import context

from server.storage.sql.metadata import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
