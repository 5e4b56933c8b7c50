"""Credits that will expire soon are told once a lot, as early as the tenant wants."""

from __future__ import annotations

from couriers import told_of
from keepers import House, drained
from ledgers import START_MS
from server.ledger import TopUp
from server.notices.expiring import find_expiring, tell_expiring
from server.notices.preferences import NoticeSettings, write_settings

DAY_MS = 86_400_000


async def test_each_lot_is_told_once_within_the_days_that_the_tenant_chose(house: House) -> None:
    await house.open(balance=None)
    for lot, days in (("soon", 10), ("later", 11), ("sooner", 1)):
        expire_ms = START_MS + days * DAY_MS
        await house.ledger.top_up(TopUp("contoso", lot, days * 1_000_000, expire_ms))
    await drained(house)
    database = house.archive.database

    async def look(days: int) -> list[int]:
        found = await database.read(lambda c: find_expiring(c, START_MS + days * DAY_MS))
        await database.write(lambda c: tell_expiring(c, found))
        told = await told_of(database)
        assert {kind for kind, _ in told} <= {"credits_expiring"}
        return sorted(facts["left_micros"] for _, facts in told)

    assert await look(0) == []
    settings = NoticeSettings(expiring_days=10)
    await database.write(lambda c: write_settings(c, {"contoso": settings}))

    assert await look(0) == await look(0) == [1_000_000, 10_000_000]
    assert await look(1) == [1_000_000, 10_000_000, 11_000_000]
    assert await look(2) == [1_000_000, 10_000_000, 11_000_000]


async def test_a_lot_that_was_used_or_voided_is_not_told(house: House) -> None:
    await house.open(balance=None)
    await house.ledger.top_up(TopUp("contoso", "lot-1", 100, START_MS + DAY_MS))
    await house.ledger.void_lot("contoso", "lot-1")
    await drained(house)
    database = house.archive.database
    await database.write(lambda c: write_settings(c, {"contoso": NoticeSettings()}))

    assert await database.read(lambda c: find_expiring(c, START_MS)) == []
