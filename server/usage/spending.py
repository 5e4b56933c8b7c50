"""What calls debited of a tenant's credits, day by day in its zone; and its lots."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from policy.funding_advice import MOST_DAYS, Spent
from policy.funding_play import PlayedLot
from policy.plan_advice import UsedCredits
from server.archive.tables import LOTS, USAGE_RECORDS

# Money that was debited within so long counts as one debit.
STEP_MS = 300_000
_MS, _MS_PER_HOUR = 1_000, 3_600_000
_CREDITS = "credits"
# Of accounts and numbers; what is dearest decides.
_MOST_NUMBERS = 100_000
_USAGE = USAGE_RECORDS.c


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in complete days: (time, micros) in steps, the oldest first.

    `days` are the times at which they begin, and at the end that at which today does.
    """

    days: Sequence[int]
    steps: Sequence[tuple[int, int]]

    @property
    def start_ms(self) -> int:
        """When the first day began."""
        return self.days[0]

    def spent(self, zone: str) -> Spent:
        """Add it up by days and hours."""
        days = [0] * (len(self.days) - 1)
        hours = [0] * (-(-(self.days[-1] - self.start_ms) // _MS_PER_HOUR))
        for time_ms, micros in self.steps:
            days[bisect_right(self.days, time_ms) - 1] += micros
            hours[(time_ms - self.start_ms) // _MS_PER_HOUR] += micros
        return Spent(tuple(days), tuple(hours), _local(self.start_ms, zone).weekday())


def read_spending(
    connection: Connection, tenant_id: str, *, zone: str, currency: str, now_ms: int
) -> Spending:
    """Read the last 60 complete days; fewer where credits were first spent since, less that day."""
    days = day_starts(now_ms, zone, MOST_DAYS)
    is_tenants = (
        _USAGE.tenant_id == tenant_id,
        _USAGE.purse == _CREDITS,
        _USAGE.currency == currency,
    )
    step = _USAGE.end_ms // STEP_MS
    query = (
        select(step, func.sum(_USAGE.charge_micros))
        .where(*is_tenants, _USAGE.end_ms >= days[0], _USAGE.end_ms < days[-1])
        .group_by(step)
        .order_by(step)
    )
    steps = [
        (max(days[0], int(at) * STEP_MS), int(micros)) for at, micros in connection.execute(query)
    ]
    before = select(_USAGE.usage_id).where(*is_tenants, _USAGE.end_ms < days[0]).limit(1)
    if connection.execute(before).first() is None:
        first = bisect_right(days, steps[0][0]) if steps else len(days) - 1
        days = days[first:]
        steps = [each for each in steps if each[0] >= days[0]]
    return Spending(days, steps)


def read_lots(connection: Connection, tenant_id: str) -> list[tuple[str, PlayedLot]]:
    """List what a tenant bought, by the names of the lots, the first to expire coming first."""
    lots = LOTS.c
    query = (
        select(lots.lot_id, lots.purchase_ms, lots.micros, lots.expire_ms)
        .where(lots.tenant_id == tenant_id, ~lots.voided)
        .order_by(lots.expire_ms, lots.purchase_ms, lots.lot_id)
    )
    return [(lot_id, PlayedLot(*rest)) for lot_id, *rest in connection.execute(query)]


def opening_lots(lots: Sequence[PlayedLot], balance_micros: int, start_ms: int) -> list[PlayedLot]:
    """Say which lots a past balance lay in: the first to expire are spent first."""
    opening: list[PlayedLot] = []
    left = max(0, balance_micros)
    for lot in sorted(lots, key=lambda lot: -lot.expire_ms):
        if lot.time_ms < start_ms < lot.expire_ms and left:
            opening.append(PlayedLot(start_ms, min(left, lot.micros), lot.expire_ms))
            left -= opening[-1].micros
    return opening


def day_starts(now_ms: int, zone: str, count: int) -> list[int]:
    """Say when the last complete days began, and when today did, in a zone."""
    today = _local(now_ms, zone).date()
    return [
        int(datetime.combine(today - timedelta(ago), time(), ZoneInfo(zone)).timestamp()) * _MS
        for ago in range(count, -1, -1)
    ]


def day_name(time_ms: int, zone: str) -> str:
    """Name the day of a time in a zone: "2026-10-02"."""
    return _local(time_ms, zone).date().isoformat()


def read_used_credits(
    connection: Connection, tenant_id: str, *, currency: str, from_ms: int, to_ms: int
) -> list[UsedCredits]:
    """Add up what credits paid of each account's calls to each number; the dearest if too many."""
    paid = func.sum(_USAGE.charge_micros)
    about = (
        _USAGE.account_id,
        _USAGE.call_type,
        _USAGE.destination_number,
        _USAGE.external_country,
    )
    query = (
        select(*about, func.sum(_USAGE.duration_seconds), paid)
        .where(
            _USAGE.tenant_id == tenant_id,
            _USAGE.purse == _CREDITS,
            _USAGE.currency == currency,
            _USAGE.end_ms >= from_ms,
            _USAGE.end_ms < to_ms,
        )
        .group_by(*about)
        .order_by(paid.desc())
        .limit(_MOST_NUMBERS)
    )
    return [
        UsedCredits(*row[:4], seconds=int(row[4]), micros=int(row[5]))
        for row in connection.execute(query)
    ]


def _local(time_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(time_ms // _MS, ZoneInfo(zone))
