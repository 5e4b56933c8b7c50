"""Credits last calendar months where their tenant is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from policy.lot_life import LotLife


@pytest.mark.parametrize(
    ("bought", "zone", "months", "over"),
    [
        ("2027-03-01T00:30", "Europe/Rome", 12, "2028-03-01T00:30"),
        # 366 days, for the year has a 29 February.
        ("2027-06-15T12:00", "UTC", 12, "2028-06-15T12:00"),
        ("2028-02-29T08:00", "America/New_York", 12, "2029-02-28T08:00"),
        ("2027-01-31T23:59", "Asia/Tokyo", 1, "2027-02-28T23:59"),
        ("2027-08-31T10:00", "UTC", 6, "2028-02-29T10:00"),
        # The clocks change in between; the time of day stays.
        ("2027-01-15T09:00", "Europe/Rome", 6, "2027-07-15T09:00"),
        # That time is not there on that day: an hour later.
        ("2026-09-28T02:30", "Europe/Rome", 6, "2027-03-28T03:30"),
        ("2027-12-31T23:00", "Pacific/Auckland", 120, "2037-12-31T23:00"),
    ],
)
def test_a_lot_expires_on_the_same_day_of_a_later_month(
    bought: str, zone: str, months: int, over: str
) -> None:
    expire_ms = LotLife(months).expire_ms(_ms(bought, zone) + 7, zone)

    assert expire_ms == _ms(over, zone) + 7


def test_days_count_where_there_are_any() -> None:
    assert LotLife(days=365).expire_ms(1_000, "Europe/Rome") == 1_000 + 365 * 86_400_000


def _ms(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000
