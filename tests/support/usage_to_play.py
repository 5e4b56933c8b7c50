"""Usage written straight into an archive, for what plays it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert

from server.archive.tables import ACCOUNTS, USAGE_RECORDS
from usage_rows import a_usage


def instant(text: str) -> int:
    """Turn "2026-11-03" into milliseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000


def to_london(end: str, /, **changes: Any) -> dict[str, Any]:
    """Build a minute that adele of contoso talked to London on credits, but for *changes*."""
    usual = {"destination_number": "+442071234567", "external_country": "GB"}
    charge_micros = changes.pop("charge_micros", 100_000)
    return a_usage(instant(end), charge_micros, **{**usual, **changes})


def write_usage(connection: Connection, *records: dict[str, Any]) -> None:
    """Write records, and an account for each of their tenants."""
    connection.execute(insert(USAGE_RECORDS), list(records))
    sums = [column.name for column in ACCOUNTS.c if column.name.endswith("_micros")]
    plain = {"partition": 0, "currency": "USD", "prepaid": True, "digest": "", "version": 1}
    usual = dict.fromkeys(sums, 0) | plain | {"frozen": False, "has_balance": True}
    tenants = sorted({row["tenant_id"] for row in records})
    connection.execute(insert(ACCOUNTS), [{**usual, "tenant_id": one} for one in tenants])
