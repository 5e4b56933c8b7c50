"""What a payment provider posts to an engine."""

from __future__ import annotations

from server.app.parts import Engine
from server.funding.events import PATH
from server.http import PostRoute
from server.money_in import make_money_in


def payment_posts(engine: Engine) -> dict[str, PostRoute]:
    """Name the path that a provider's events are posted to; none without a provider."""
    money = make_money_in(
        engine.settings, engine.archive.database, engine.ledger, now_ms=engine.now_ms
    )
    return {} if money.events is None else {PATH: money.events.take}
