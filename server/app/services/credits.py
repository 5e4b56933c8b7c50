"""The CreditService."""

from __future__ import annotations

from server.app.parts import Engine
from server.credits import SERVICE, CreditParts, Credits
from server.money_in import make_money_in
from server.transport import TransportServer


def register_credits(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    database = engine.archive.database
    money = make_money_in(engine.settings, database, engine.ledger, now_ms=engine.now_ms)
    parts = CreditParts(
        accounts=engine.accounts,
        database=database,
        treasury=money.treasury,
        charging=money.charging,
        rules=money.rules,
        now_ms=engine.now_ms,
    )
    Credits(parts, engine.metrics).register(transport)
    return SERVICE
