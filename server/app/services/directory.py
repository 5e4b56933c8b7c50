"""The DirectoryService."""

from __future__ import annotations

from server.app.parts import Engine
from server.archive import AuditTrail, archive_url
from server.directory_service import SERVICE, DirectoryService
from server.directory_service.transfer import Transfer
from server.transport import TransportServer


def register_directory(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    settings, source = engine.settings, engine.directory
    url = archive_url(settings.archive_url, settings.data_folder)
    DirectoryService(
        source,
        engine.facts,
        AuditTrail(engine.now_ms),
        Transfer(source, url, settings.catalogue_folder, engine.now_ms),
        engine.metrics,
    ).register(transport)
    return SERVICE
