"""The DebitService."""

from __future__ import annotations

from server.app.parts import Engine
from server.debits import SERVICE, Debits
from server.transport import TransportServer


def register_debits(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    Debits(engine.watching, engine.facts, engine.opening, engine.metrics).register(transport)
    return SERVICE
