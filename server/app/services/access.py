"""The AccessService."""

from __future__ import annotations

from server.access_service import SERVICE, Identities
from server.app.guarding import ARCHIVE
from server.app.parts import Engine
from server.transport import TransportServer


def register_access(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    settings = engine.settings
    # Where nobody is asked for an identity yet, and nobody else can come, the first one is made.
    is_to_begin = not settings.identities and settings.listen.is_loopback
    Identities(
        archive=engine.archive,
        keeper=engine.identities,
        now_ms=engine.now_ms,
        are_kept=ARCHIVE in settings.identities or is_to_begin,
        metrics=engine.metrics,
    ).register(transport)
    return SERVICE
