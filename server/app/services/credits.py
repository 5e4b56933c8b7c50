"""The CreditService."""

from __future__ import annotations

from server.app.parts import Engine
from server.credits import SERVICE, Credits
from server.transport import TransportServer


def register_credits(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    Credits(engine.accounts, engine.metrics).register(transport)
    return SERVICE
