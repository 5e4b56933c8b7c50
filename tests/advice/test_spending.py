"""What was spent is read day by day where the tenant is, from the first whole day on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert

from archive_fixtures import archive_url, postgresql
from policy.funding_play import PlayedLot
from server.archive.tables import USAGE_RECORDS
from server.storage.sql.database import Database
from server.usage.spending import Spending, day_name, day_starts, opening_lots, read_spending
from usage_rows import a_usage

__all__ = ["archive_url", "postgresql"]

ROME = "Europe/Rome"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def at(*moment: int) -> int:
    year, month, day, hour, minute = (*moment, 0, 0)[:5]
    return int(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(ROME)).timestamp()) * 1_000


NOW_MS = at(2026, 11, 30, 15)


@pytest.fixture
async def database(archive_url: str) -> AsyncIterator[Database]:
    opened = Database(archive_url)
    yield opened
    await opened.close()


async def spending_of(database: Database, *rows: dict[str, Any]) -> Spending:
    await database.write(lambda c: c.execute(insert(USAGE_RECORDS), list(rows)))
    return await database.read(
        lambda c: read_spending(c, "contoso", zone=ROME, currency="USD", now_ms=NOW_MS)
    )


async def test_days_are_those_of_the_tenants_zone_also_where_clocks_change(
    database: Database,
) -> None:
    """Clocks went back on 25 October 2026: that day had 25 hours."""
    spending = await spending_of(
        database,
        a_usage(at(2026, 1, 1), 7),
        a_usage(at(2026, 10, 1, 0, 0), 1),
        a_usage(at(2026, 10, 25, 23, 59), 2),
        a_usage(at(2026, 10, 26, 0, 0), 3),
        a_usage(at(2026, 11, 29, 23, 59), 4),
        a_usage(at(2026, 11, 30, 0, 0), 100),
    )

    spent = spending.spent(ROME)

    assert len(spending.days) == 61
    assert (len(spent.days), len(spent.hours)) == (60, 60 * 24 + 1)
    assert (spent.days[0], spent.days[24], spent.days[25], spent.days[-1]) == (1, 2, 3, 4)
    assert (sum(spent.days), sum(spent.hours)) == (10, 10)
    assert day_name(spending.start_ms, ROME) == "2026-10-01"
    assert spent.first_weekday == 3


async def test_the_first_day_of_spending_is_not_whole(database: Database) -> None:
    spending = await spending_of(
        database, a_usage(at(2026, 11, 10, 9), 1), a_usage(at(2026, 11, 12, 9), 2)
    )

    assert day_name(spending.start_ms, ROME) == "2026-11-11"
    assert sum(spending.spent(ROME).days) == 2
    assert len(spending.spent(ROME).days) == 19


async def test_only_credits_of_the_tenant_in_its_currency_count(database: Database) -> None:
    first = a_usage(at(2026, 1, 1), 1)
    later = at(2026, 11, 12, 9)
    spending = await spending_of(
        database,
        first,
        a_usage(later, 10),
        a_usage(later + 1, -3, correction=True),
        a_usage(later, 1_000, purse="pool"),
        a_usage(later, 1_000, tenant_id="fabrikam"),
        a_usage(later, 1_000, currency="EUR"),
    )

    assert sum(spending.spent(ROME).days) == 7


async def test_nothing_spent_is_no_day(database: Database) -> None:
    spending = await spending_of(database, a_usage(NOW_MS, 5))

    assert spending.spent(ROME).days == ()


def test_a_past_balance_lay_in_the_lots_that_expire_last() -> None:
    lots = [
        PlayedLot(0, 50, 300),
        PlayedLot(10, 50, 400),
        PlayedLot(5, 50, 90),
        PlayedLot(200, 50, 900),
    ]

    assert opening_lots(lots, 70, 100) == [PlayedLot(100, 50, 400), PlayedLot(100, 20, 300)]
    assert opening_lots(lots, -5, 100) == []


def test_days_begin_at_midnight() -> None:
    days = day_starts(NOW_MS, ROME, 60)

    assert days[-1] == at(2026, 11, 30)
    assert {after - before for before, after in pairwise(days)} == {
        DAY_MS,
        DAY_MS + HOUR_MS,
    }
