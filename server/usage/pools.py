"""How full a tenant's pools of minutes are in a month, who used them, and when they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Connection, func, select

from server.archive.tables import TALLIES, USAGE_RECORDS
from server.usage.periods import Period, Span, day_at, next_of, spans, start_of

# The pace of so many days says when a pool ends.
PACE_DAYS = 7
_MOST_USERS = 10
_USAGE = USAGE_RECORDS.c


@dataclass(frozen=True, slots=True)
class Fill:
    """One counter of one pool in one month; days and users are those of the whole pool."""

    pool_id: str
    counter: str
    size_seconds: int
    used_seconds: int
    daily_seconds: Sequence[int]
    empty_date: str
    users: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Month:
    """Which month of a tenant: its first day, its zone, and what time it is."""

    tenant_id: str
    first: date
    zone: str
    now_ms: int

    @property
    def name(self) -> str:
        """As the ledger names it."""
        return self.first.isoformat()[:7]

    def days(self) -> list[Span]:
        """List its days up to today."""
        end_ms = start_of(next_of(Period.MONTH, self.first), self.zone)
        to_ms = min(end_ms, self.now_ms)
        return spans(Period.DAY, self.zone, from_ms=start_of(self.first, self.zone), to_ms=to_ms)


def read_pools(
    connection: Connection, month: Month, sizes: Mapping[tuple[str, str], int]
) -> list[Fill]:
    """Tell of each counter that has a size today, or was used in the month; by pool."""
    used = _used(connection, month)
    daily = _daily(connection, month)
    users = _users(connection, month)
    in_all: dict[str, int] = defaultdict(int)
    for (pool_id, _), seconds in used.items():
        in_all[pool_id] += seconds
    fills = []
    for pool_id, counter in sorted({*sizes, *used}):
        days = daily.get(pool_id, [0] * len(month.days()))
        size, spent = sizes.get((pool_id, counter), 0), used.get((pool_id, counter), 0)
        share = (spent, in_all[pool_id])
        empty = _empty_date(month, size - spent, days, share=share) if size else ""
        fills.append(Fill(pool_id, counter, size, spent, days, empty, users.get(pool_id, ())))
    return fills


def _used(connection: Connection, month: Month) -> dict[tuple[str, str], int]:
    """Read what the ledger counted: seconds by pool and counter."""
    tallies = TALLIES.c
    query = select(tallies.field, tallies.done).where(
        tallies.tenant_id == month.tenant_id,
        tallies.field >= f"pool/{month.name}/",
        tallies.field < f"pool/{month.name}0",
    )
    found = {}
    for field, done in connection.execute(query):
        _, _, counter, _, pool_id = field.split("/", 4)
        found[pool_id, counter] = int(done)
    return found


def _daily(connection: Connection, month: Month) -> dict[str, list[int]]:
    days = month.days()
    found: dict[str, list[int]] = defaultdict(lambda: [0] * len(days))
    for number, day in enumerate(days):
        query = (
            select(_USAGE.pool_id, func.sum(_USAGE.duration_seconds))
            .where(*_of(month), _USAGE.book_ms >= day.from_ms, _USAGE.book_ms < day.to_ms)
            .group_by(_USAGE.pool_id)
        )
        for pool_id, seconds in connection.execute(query):
            found[pool_id][number] = int(seconds)
    return found


def _users(connection: Connection, month: Month) -> dict[str, list[tuple[str, int]]]:
    seconds = func.sum(_USAGE.duration_seconds)
    query = (
        select(_USAGE.pool_id, _USAGE.account_id, seconds)
        .where(*_of(month), _USAGE.book_ms >= month.days()[0].from_ms)
        .group_by(_USAGE.pool_id, _USAGE.account_id)
        .order_by(seconds.desc(), _USAGE.account_id)
    )
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for pool_id, account_id, used in connection.execute(query):
        if len(found[pool_id]) < _MOST_USERS:
            found[pool_id].append((account_id, int(used)))
    return found


def _of(month: Month) -> tuple[ColumnElement[bool], ...]:
    return (
        _USAGE.tenant_id == month.tenant_id,
        _USAGE.purse == "pool",
        _USAGE.period == month.name,
    )


def _empty_date(
    month: Month, left_seconds: int, days: Sequence[int], *, share: tuple[int, int]
) -> str:
    """Say on which day of the month a counter is used up, at its share of the pool's pace."""
    today = day_at(month.now_ms, month.zone)
    if left_seconds <= 0:
        return today.isoformat() if today.isoformat()[:7] == month.name else ""
    last = days[-PACE_DAYS:]
    part, whole = share
    paced = sum(last) * part
    if paced <= 0:
        return ""
    # Rounded up: it lasts the day on which it ends.
    lasting_days = -(-left_seconds * len(last) * whole // paced) - 1
    if lasting_days > PACE_DAYS * PACE_DAYS:
        return ""
    empty = today + timedelta(lasting_days)
    return empty.isoformat() if empty.isoformat()[:7] == month.name else ""
