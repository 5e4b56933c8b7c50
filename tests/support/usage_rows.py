"""Usage records as the archive has them, for tests of what is read of them."""

from __future__ import annotations

import itertools
from typing import Any

_numbers = itertools.count()
_TEXTS = (
    *("conference_id", "object_id", "upn", "display_name", "caller_id", "number_type"),
    *("destination_dialed", "destination_number", "external_country", "operator"),
    *("duration_source", "administrative_units", "pool_id", "period", "user_location"),
)


def a_usage(end_ms: int, charge_micros: int, **changes: Any) -> dict[str, Any]:
    """Build what credits paid of a minute's call of adele of contoso."""
    number = next(_numbers)
    usual = {
        "usage_id": f"usage-{number}",
        "tenant_id": "contoso",
        "opened_id": f"opened-{number}",
        "gateway_id": "sbc-1",
        "call_id": f"call-{number}@test",
        "account_id": "adele",
        "call_type": "user_out",
        "call_direction": "Outbound",
        "domestic": "Domestic",
        "start_ms": end_ms - 60_000,
        "end_ms": end_ms,
        "duration_seconds": 60,
        "connection_fee_micros": 0,
        "charge_micros": charge_micros,
        "currency": "USD",
        "capability": "MCOPSTNPP",
        "purse": "credits",
        "correction": False,
        "book_ms": end_ms,
    }
    return {**dict.fromkeys(_TEXTS, ""), **usual, **changes}
