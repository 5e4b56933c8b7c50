"""The first token of an archive that knows nobody: who has it makes the others."""

from __future__ import annotations

import asyncio
import time

import click

from server.access.identities import digest_of, new_token
from server.access.identity_store import IdentityStore, KeptIdentity, KeptToken
from server.access.roles import Role
from server.archive import Archive
from server.settings import Settings
from server.storage.sql.audit import AuditTrail
from server.storage.sql.database import Database, archive_url
from server.storage.sql.errors import ArchiveUnavailable, ArchiveUnusable

EXIT_MADE, EXIT_KNOWN, EXIT_CANNOT = 0, 1, 2
# In the audit trail: whoever may run the engine's command on its machine.
WHO = "first-token"


def make_first_token(settings: Settings, name: str) -> int:
    """Make an operator with a token without end, and print it; returns the exit status."""
    try:
        return asyncio.run(_make(settings, name))
    except (ArchiveUnavailable, ArchiveUnusable) as error:
        click.echo(f"The archive cannot be used: {error}", err=True)
        return EXIT_CANNOT


async def _make(settings: Settings, name: str) -> int:
    archive = Archive(Database(archive_url(settings.archive_url, settings.data_folder)))
    try:
        await archive.migrate()
        store = IdentityStore(archive.database)
        known = await store.read()
        if known:
            click.echo(
                f"The archive knows {known[0].identity_id} already: an operator makes further ones "
                "with `callgate tokens create`.",
                err=True,
            )
            return EXIT_KNOWN
        token, now_ms = new_token(), time.time_ns() // 1_000_000
        kept = KeptToken(digest_of(token), now_ms, None)
        operator = KeptIdentity(name, (Role.OPERATOR.value,), None, now_ms, tokens=(kept,))
        await store.create(operator, WHO, AuditTrail(lambda: now_ms))
    finally:
        await archive.close()
    click.echo(token)
    click.echo(
        f"This is the token of {name}, an operator; it is shown this once. Engines whose "
        '`identities` name "archive" know it within seconds.',
        err=True,
    )
    return EXIT_MADE
