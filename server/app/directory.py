"""The directory: followed in the archive, where the settings say so, and the service of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from server.facts import FactsInUse
from server.facts.from_database import ArchivedTenants
from server.facts.hot_copy import HotCopy
from server.observability.metrics import Metrics
from server.services.directory.files_copy import CopyOfFiles
from server.services.directory.source import ArchiveSource, FilesSource, Source
from server.settings import DirectorySource, Settings
from server.storage.redis import Store
from server.storage.sql.database import Database, archive_url

# How soon a process sees what another one has changed, where nothing else tells it.
POLL_SECONDS = 1.0
# How long a start waits for an archive that is not there, before it serves emergencies without.
_START_SECONDS = 10.0

_log = logging.getLogger("callgate")


def archived_tenants(settings: Settings, metrics: Metrics, store: Store) -> ArchivedTenants | None:
    """Build what follows the archive; None where tenants come from files."""
    if settings.directory_source is DirectorySource.FILES:
        return None

    def count() -> None:
        metrics.facts_reload_failures += 1

    # Connections of its own: whoever drains the journal never waits behind a reader of tenants.
    database = Database(archive_url(settings.archive_url, settings.data_folder))
    return ArchivedTenants(
        database, poll_seconds=POLL_SECONDS, on_problem=count, hot=HotCopy(store)
    )


def directory_source(settings: Settings, facts: FactsInUse) -> Source:
    """Build what the directory is read, and where that can be, changed in."""
    if facts.archived is not None:
        return ArchiveSource(facts.archived)
    return FilesSource(CopyOfFiles(settings.directory_folder), facts, settings.catalogue_folder)


async def wait_for_directory(facts: FactsInUse) -> None:
    """Wait a while until all tenants of the archive were read."""
    archived = facts.archived
    if archived is None:
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(archived.complete.wait(), _START_SECONDS)
    if not archived.complete.is_set():
        _log.warning("Serving emergency numbers only, until the archive has told the tenants.")
