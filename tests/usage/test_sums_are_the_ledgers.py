"""A history of many days through the real ledger: every sum is what was debited on those days.

`make usage-history` plays 60 days, 200 users and 100,000 calls; the suite a few.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest

from keepers import PARTITION, House, context_of, drained
from ledgers import a_question, a_rate, credits_, pool
from server.ledger import ExtendRequest, ReserveRequest
from server.ledger.decision_context import pack, unpack
from server.usage.periods import Period, spans
from server.usage.records import Filter, Sum, list_records, sum_records

DAYS = int(os.environ.get("USAGE_DAYS", "4"))
USERS = int(os.environ.get("USAGE_USERS", "5"))
CALLS = int(os.environ.get("USAGE_CALLS", "60"))
DAY_SECONDS = 86_400
EVER = Filter("contoso", 0, 2**53)


class Gateway:
    """Places calls and reports them; some lapse in mid-call, and are told of a day later."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = Random(seed)
        self.made = 0
        self.late: list[tuple[str, int]] = []
        self.paid: Counter[str] = Counter()

    async def debited(self) -> int:
        return (await self.house.ledger.read_balance("contoso")).debited_micros

    async def call(self) -> None:
        self.made += 1
        call_id, user = f"call-{self.made}", f"user-{self.random.randrange(USERS)}"
        purses = (pool(300), credits_(a_rate(61_000, 700, 30, 6)))[self.random.randrange(2) :]
        told = unpack(context_of(*purses))
        country = self.random.choice(("IT", "GB"))
        request = ReserveRequest(
            question=a_question(call_id, 1),
            purses=purses,
            refusal=None,
            want_seconds=600,
            context=pack(told._replace(account_id=user, country=country)),
        )
        before = await self.debited()
        await self.house.ledger.reserve(request)
        used = self.random.choice((0, 1, 29, 61, 120))
        self.house.clock.pass_seconds(used)
        if self.random.random() < 0.1:
            extended = ExtendRequest(
                a_question(call_id, 2), used_seconds=used, want_seconds=used + 600
            )
            await self.house.ledger.extend(extended)
            self.late.append((call_id, used + self.random.choice((0, 5, 90))))
        else:
            await self.house.settle(call_id, 2, used)
        self.paid[user] += await self.debited() - before

    async def day(self, calls: int) -> int:
        """Live through a day; say what was debited on it."""
        clock, began = self.house.clock, await self.debited()
        midnight = clock.now_ms() // (DAY_SECONDS * 1_000) * DAY_SECONDS
        late, self.late = self.late, []
        for call_id, used in late:
            await self.house.settle(call_id, 3, used)
        for number in range(calls):
            await self.call()
            if number % 500 == 499:
                await drained(self.house)
        ends_ms = (midnight + DAY_SECONDS - 60) * 1_000
        assert clock.now_ms() < ends_ms, "the calls of a day take longer than a day"
        clock.time_ms = ends_ms
        while await self.house.ledger.expire(PARTITION, 100):
            pass
        ended = await self.debited()
        await drained(self.house)
        clock.pass_seconds(120)
        return ended - began


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_days_sum_is_what_was_debited_on_it(house: House, seed: int) -> None:
    gateway = Gateway(house, seed)
    midnight = house.clock.now_ms() // (DAY_SECONDS * 1_000) * DAY_SECONDS + DAY_SECONDS
    house.clock.time_ms = midnight * 1_000
    await house.open(10**12)
    wanted = [await gateway.day(CALLS // DAYS) for _ in range(DAYS)]
    # What lapsed on the last day is told on one day more.
    wanted.append(await gateway.day(0))

    def sums(*groups: str) -> dict[tuple[str, ...], Sum]:
        return {each.keys: each for each in found[groups]}

    ways: list[tuple[str, ...]] = [("day",), ("user",), ("day", "country"), ("user", "purse"), ()]
    found = {
        way: await house.archive.database.read(
            partial(sum_records, wanted=EVER, groups=way, zone="UTC")
        )
        for way in ways
    }
    names = [
        f"{datetime.fromtimestamp(midnight, UTC) + timedelta(day):%Y-%m-%d}"
        for day in range(len(wanted))
    ]
    by_day = sums("day")
    assert [by_day[name,].charge_micros if (name,) in by_day else 0 for name in names] == wanted
    total = await gateway.debited()
    assert total == sum(wanted) > 0
    for way in ways:
        assert sum(each.charge_micros for each in found[way]) == total, way
    records = await house.archive.database.read(
        lambda c: list_records(c, EVER, after=None, limit=1_000_000)
    )
    users: Counter[str] = Counter()
    for record in records:
        users[record["account_id"]] += record["charge_micros"]
    assert {keys[0]: each.charge_micros for keys, each in sums("user").items()} == users
    assert any(record["correction"] for record in records)
    # A day that is over never changed: its records were booked on it.
    assert [record["book_ms"] for record in records] == sorted(
        record["book_ms"] for record in records
    )


def test_days_of_a_zone_have_the_hours_that_they_have() -> None:
    """Clocks went back in Rome on 25 October 2026."""
    from_ms = int(datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()) * 1_000

    days = spans(Period.DAY, "Europe/Rome", from_ms=from_ms, to_ms=from_ms + 50 * 3_600_000)

    assert [(day.name, (day.to_ms - day.from_ms) // 3_600_000) for day in days] == [
        ("2026-10-25", 25),
        ("2026-10-26", 24),
        ("2026-10-27", 1),
    ]
