"""The DirectoryService."""

from __future__ import annotations

from server.app.parts import Engine
from server.archive import AuditTrail
from server.directory_service import SERVICE, DirectoryService
from server.transport import TransportServer


def register_directory(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    audit = AuditTrail(engine.now_ms)
    DirectoryService(engine.directory, engine.facts, audit, engine.metrics).register(transport)
    return SERVICE
