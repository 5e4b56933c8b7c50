"""Use that is held apart stays in the archive until an operator charges or waives it, once."""

from __future__ import annotations

import pytest

from keepers import House, context_of, drained
from ledgers import a_question, ask, by_the_second
from server.funding.errors import FundingRefused
from server.funding.implausible import HeldUse, charge, held_use, waive
from server.funding.requests import FundingRequests
from server.ledger.redis_ledger import RedisLedger
from server.storage.sql.audit import AuditTrail, read_trail
from tills import TENANT


async def a_call_that_claims_too_much(house: House, seconds: int = 1_000) -> HeldUse:
    await house.open()
    ledger = RedisLedger(house.store, house.clock, tolerance_seconds=60)
    purse = by_the_second()
    await ledger.reserve(ask("call-1", 1, purse)._replace(context=context_of(purse)))
    await ledger.settle(a_question("call-1", 2), seconds)
    await drained(house)
    (held,) = await found(house)
    return held


async def found(house: House) -> list[HeldUse]:
    return await house.archive.database.read(lambda c: list(held_use(c)))


def requests_of(house: House) -> FundingRequests:
    now_ms = house.clock.now_ms
    return FundingRequests(house.archive.database, house.ledger, AuditTrail(now_ms), now_ms)


async def test_what_is_held_apart_is_listed_with_its_price(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    assert (held.tenant_id, held.call_id, held.gateway_id) == (TENANT, "call-1", "sbc-1")
    assert (held.seconds, held.micros) == (940, 940)
    assert (await house.balance()).debited_micros == 60


async def test_what_is_charged_is_debited_once(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    await charge(requests_of(house), held, "root")
    await charge(requests_of(house), held, "root")

    assert (await house.balance()).debited_micros == 1_000
    assert await found(house) == []


async def test_what_is_waived_costs_nothing_and_is_written_down(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    await waive(requests_of(house), held, "root")

    assert (await house.balance()).debited_micros == 60
    assert await found(house) == []
    trail = await house.archive.database.read(lambda c: read_trail(c, TENANT, None, limit=5))
    assert [entry.what.action for entry in trail] == ["WaiveImplausibleUse"]


async def test_what_the_account_does_not_have_stays_held_apart(house: House) -> None:
    held = await a_call_that_claims_too_much(house, seconds=10_000_000)

    with pytest.raises(FundingRefused):
        await charge(requests_of(house), held, "root")

    assert await found(house) == [held]
    assert (await house.balance()).debited_micros == 60
