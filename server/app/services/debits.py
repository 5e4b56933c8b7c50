"""The DebitService."""

from __future__ import annotations

from server.app.parts import Engine
from server.debits import SERVICE, Debits
from server.transport import TransportServer


def register_debits(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    store_name = engine.accounts.store_name
    Debits(engine.watching, engine.facts, store_name, engine.metrics).register(transport)
    return SERVICE
