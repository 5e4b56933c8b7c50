"""A clock that is wrong for a while: what it forfeits, what stays, and how it is mended."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from keepers import House, drained
from ledgers import ManualClock
from policy.lot_life import LotLife
from server.archive.keeper.doctor import Difference, Doctor
from server.funding.applying import Kind
from server.funding.errors import FundingRefused, Why
from server.funding.forfeits import Forfeit, early_forfeits, give_back
from server.funding.funding_rows import Candidate
from server.ledger import PartitionAhead, TopUp
from server.ledger.partition_audit import Auditor
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store, StoreClock
from tills import DAY_MS, TENANT, UNIT, Till, a_top_up

YEAR_MS = 365 * DAY_MS


class SteppingStore(Store):
    """A store behind which another one with a wrong clock may be promoted."""

    ahead_micros = 0

    async def time_micros(self) -> int:
        return await super().time_micros() + self.ahead_micros


async def far_ahead(house: House) -> None:
    """Let somebody whose clock is 400 days ahead write into the tenant's partition."""
    wrong = ManualClock(house.clock.now_ms() + 400 * DAY_MS)
    await RedisLedger(house.store, wrong).freeze(TENANT, frozen=True)
    await house.ledger.freeze(TENANT, frozen=False)


async def test_a_failover_to_a_replica_with_a_wrong_clock_forfeits_nothing(
    till: Till, valkey: str
) -> None:
    store = SteppingStore(valkey)
    clock = StoreClock(store)
    await clock.refresh()
    ledger = RedisLedger(store, clock)
    expire_ms = till.house.clock.now_ms() + 100 * DAY_MS
    await ledger.top_up(TopUp(TENANT, "lot-1", 5 * UNIT, expire_ms))

    store.ahead_micros = 800 * DAY_MS * 1_000
    await clock.refresh()
    during = await ledger.read_balance(TENANT)
    store.ahead_micros = 0
    await clock.refresh()
    await ledger.top_up(TopUp(TENANT, "lot-2", 2 * UNIT, expire_ms))
    after = await ledger.read_balance(TENANT)
    await store.close()

    assert (during.balance_micros, during.expired_micros) == (5 * UNIT, 0)
    assert (after.balance_micros, after.expired_micros) == (7 * UNIT, 0)


async def test_money_lives_on_in_a_partition_that_was_carried_ahead(till: Till) -> None:
    await till.fund(10 * UNIT)
    await far_ahead(till.house)

    balance = await till.house.balance()

    assert (balance.balance_micros, balance.expired_micros) == (10 * UNIT, 0)


async def test_a_top_up_that_would_be_over_at_once_waits_until_the_doctor_was_there(
    till: Till,
) -> None:
    await till.fund(10 * UNIT)
    await far_ahead(till.house)
    doctor = Doctor(Auditor(till.house.store), till.house.parts)
    body = {"lot_id": "lot-1", "micros": UNIT, "expire_ms": till.house.clock.now_ms() + YEAR_MS}
    asked = a_top_up("t-1", UNIT, settle=lambda _connection, _row: body)

    with pytest.raises(PartitionAhead):
        await till.funding_requests.ask(asked)
    before = await till.balance()
    found = await doctor.examine()
    await doctor.repair(found)
    till.house.clock.pass_seconds(60)
    await till.work()

    assert [each.text for each in found] == [
        "its time is 34560000 s ahead: somebody wrote with a wrong clock"
    ]
    assert await doctor.examine() == []
    assert before == 10 * UNIT
    assert await till.balance() == 11 * UNIT
    assert (await till.house.balance()).expired_micros == 0


async def test_a_top_up_that_comes_too_late_is_refused_and_moves_nothing(till: Till) -> None:
    body = {"lot_id": "lot-1", "micros": UNIT, "expire_ms": till.house.clock.now_ms()}

    with pytest.raises(FundingRefused) as refused:
        await till.funding_requests.ask(
            a_top_up("t-1", UNIT, settle=lambda _connection, _row: body)
        )

    assert refused.value.why is Why.LOT_DUE
    assert (await till.house.balance()).funded_micros == 0


async def test_a_transfer_that_comes_too_late_goes_back(till: Till) -> None:
    await till.house.open(balance=None, tenant="fabrikam")
    await till.fund(10 * UNIT)
    body = {
        "debit_id": "transfer:t-1",
        "micros": 3 * UNIT,
        "overdraft_micros": None,
        "to_tenant_id": "fabrikam",
        "currency": "USD",
        "lot_id": "transfer:contoso:t-1",
        "expire_ms": till.house.clock.now_ms(),
    }

    with pytest.raises(FundingRefused):
        await till.funding_requests.ask(
            a_top_up("t-1", 1, kind=Kind.TRANSFER, settle=lambda _connection, _row: body)
        )

    assert await till.balance() == 10 * UNIT
    assert (await till.house.ledger.read_balance("fabrikam")).funded_micros == 0


async def test_what_was_charged_and_comes_in_late_lives_as_long_from_then_on(till: Till) -> None:
    await till.set_up()
    await till.fund(UNIT)
    short = dataclasses.replace(
        till, rules=dataclasses.replace(till.rules, lot_life=LotLife(days=1))
    )
    version = (await till.funding()).version
    charge_id = await short.recharging.consider(Candidate(TENANT, version))
    till.house.clock.pass_seconds(2 * DAY_MS // 1_000)

    assert charge_id is not None
    await till.charging.advance(charge_id)

    assert await till.balance() == 21 * UNIT


async def test_what_was_forfeited_before_its_time_is_given_back_once(till: Till) -> None:
    """With the expiry it had; what was spent or voided is not, nor what expired in time."""
    house = till.house
    now_ms = house.clock.now_ms()
    for lot_id, days in (("due", 1), ("early", 30), ("late", 300), ("voided", 300)):
        await house.ledger.top_up(TopUp(TENANT, lot_id, 10 * UNIT, now_ms + days * DAY_MS))
    await house.ledger.void_lot(TENANT, "voided")
    await till.spend(13 * UNIT, "d-1")
    await RedisLedger(house.store, ManualClock(now_ms + 400 * DAY_MS)).read_balance(TENANT)
    await drained(house)
    assert await till.balance() == 0
    await Doctor(Auditor(house.store), house.parts).repair(await doctored(house))

    given = []
    for _ in range(2):
        found = await early(till)
        given += [(each.lot_id, each.micros) for each in found]
        answers = await asyncio.gather(
            *(give_back(till.funding_requests, each, "operator") for each in found * 2),
            return_exceptions=True,
        )
        assert answers.count(True) == len(found)
        await drained(house)

    assert given == [("early", 7 * UNIT), ("late", 10 * UNIT)]
    assert await till.balance() == 17 * UNIT
    house.clock.pass_seconds(31 * DAY_MS // 1_000)
    assert await till.balance() == 10 * UNIT


async def early(till: Till) -> list[Forfeit]:
    now_ms = till.house.clock.now_ms()
    return await till.house.archive.database.read(lambda c: early_forfeits(c, now_ms))


async def doctored(house: House) -> list[Difference]:
    return await Doctor(Auditor(house.store), house.parts).examine()
