"""Closing months: what a month that is over came to, written down once with its checksum.

A record counts when it is booked, so a correction of a call of last month is in this one; the
checksum is what tells, years later, that a file of a month is the one of then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from server.archive.tables import USAGE_RECORDS
from server.storage.sql.rows import insert_once
from server.usage.periods import Period, Span, next_of, span_at, start_of
from server.usage.reports.tables import CLOSED_MONTHS

CLOSED_FORM = "2025"

_MONTHS, _USAGE = CLOSED_MONTHS.c, USAGE_RECORDS.c


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A month that is closed: from which time to which, and what its file is."""

    month: str
    from_ms: int
    to_ms: int
    records: int
    sha256: str
    close_ms: int


def tenants_with_usage(connection: Connection) -> Sequence[str]:
    """List the tenants that have usage records, by an index."""
    # One step of the index a tenant, and not one a record.
    found: list[str] = []
    while True:
        query = select(func.min(_USAGE.tenant_id))
        if found:
            query = query.where(_USAGE.tenant_id > found[-1])
        following = connection.execute(query).scalar_one()
        if following is None:
            return found
        found.append(following)


def month_to_close(connection: Connection, tenant_id: str, zone: str) -> Span | None:
    """Name the month that is closed next: the one of the first record, then one after another.

    It begins where the one before ended, even if the tenant's zone changed; None without records.
    """
    query = (
        select(_MONTHS.month, _MONTHS.to_ms)
        .where(_MONTHS.tenant_id == tenant_id)
        .order_by(_MONTHS.month.desc())
        .limit(1)
    )
    last = connection.execute(query).first()
    if last is not None:
        first = next_of(Period.MONTH, _first_day(last.month))
        end_ms = start_of(next_of(Period.MONTH, first), zone)
        return Span(first.isoformat()[:7], last.to_ms, end_ms)
    oldest = select(func.min(_USAGE.book_ms)).where(_USAGE.tenant_id == tenant_id)
    booked_ms = connection.execute(oldest).scalar_one()
    return None if booked_ms is None else span_at(Period.MONTH, zone, booked_ms)


def close_month(connection: Connection, tenant_id: str, month: ClosedMonth) -> bool:
    """Write down that a month is closed; False where it was already, and nothing changes."""
    return insert_once(connection, CLOSED_MONTHS, {"tenant_id": tenant_id, **asdict(month)})


def list_months(connection: Connection, tenant_id: str) -> list[ClosedMonth]:
    """List a tenant's closed months, the newest first."""
    columns = [_MONTHS[name] for name in ClosedMonth.__slots__]
    query = select(*columns).where(_MONTHS.tenant_id == tenant_id).order_by(_MONTHS.month.desc())
    return [ClosedMonth(*row) for row in connection.execute(query)]


def _first_day(month: str) -> date:
    return date.fromisoformat(f"{month}-01")
