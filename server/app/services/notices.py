"""The NoticeService."""

from __future__ import annotations

from server.app.parts import Engine
from server.archive import AuditTrail
from server.notice_service import SERVICE, Notices
from server.notices.building import webhook_key_of
from server.transport import TransportServer


def register_notices(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    Notices(
        archive=engine.archive,
        facts=engine.facts,
        audit=AuditTrail(engine.now_ms),
        now_ms=engine.now_ms,
        webhook_key=lambda: webhook_key_of(engine.settings),
        metrics=engine.metrics,
    ).register(transport)
    return SERVICE
