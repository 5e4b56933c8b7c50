"""Use that is held apart stays in the archive until an operator charges or waives it, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keepers import Gate, House, context_of, drained
from ledgers import a_question, ask, by_the_second
from server.funding import implausible
from server.funding.errors import FundingBusy, FundingRefused, UseUnknown, Why
from server.funding.implausible import Fate, HeldUse, Settling, held_use, settle
from server.funding.requests import FundingRequests
from server.ledger import TopUp
from server.ledger.redis_ledger import RedisLedger
from server.storage.sql.audit import AuditTrail, read_trail
from till_victims import Victim
from tills import TENANT, Till


async def a_call_that_claims_too_much(
    house: House,
    seconds: int = 1_000,
    *,
    balance: int = 6_000_000,
    call_id: str = "call-1",
    **may: Any,
) -> HeldUse:
    await house.open(balance=balance)
    ledger = RedisLedger(house.store, house.clock, tolerance_seconds=60)
    purse = by_the_second()._replace(**may)
    await ledger.reserve(ask(call_id, 1, purse)._replace(context=context_of(purse)))
    await ledger.settle(a_question(call_id, 2), seconds)
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


def decided(held: HeldUse, fate: Fate) -> Settling:
    return Settling(held.tenant_id, held.opened_id, fate, "root", "ticket 7")


async def charge(house: House, held: HeldUse) -> int:
    return await settle(requests_of(house), decided(held, Fate.CHARGED))


async def waive(house: House, held: HeldUse) -> int:
    return await settle(requests_of(house), decided(held, Fate.WAIVED))


async def test_what_is_charged_is_debited_once(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    told = [await charge(house, held), await charge(house, held)]

    assert told == [940, 940]
    assert (await house.balance()).debited_micros == 1_000
    assert await found(house) == []


async def test_what_is_waived_costs_nothing_and_is_written_down_once(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    told = [await waive(house, held), await waive(house, held)]

    assert told == [0, 0]
    assert (await house.balance()).debited_micros == 60
    assert await found(house) == []
    trail = await house.archive.database.read(lambda c: read_trail(c, TENANT, None, limit=5))
    assert [entry.what.action for entry in trail] == ["WaiveImplausibleUse"]
    assert "ticket 7" in (trail[0].after or "")


async def test_what_is_settled_is_not_settled_the_other_way(house: House) -> None:
    held = await a_call_that_claims_too_much(house)
    await waive(house, held)

    with pytest.raises(FundingRefused, match="waived"):
        await charge(house, held)

    assert (await house.balance()).debited_micros == 60


async def test_nobody_settles_what_is_not_held_apart(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    for unknown in (replace(held, opened_id="nothing"), replace(held, tenant_id="fabrikam")):
        with pytest.raises(UseUnknown):
            await waive(house, unknown)

    assert await found(house) == [held]


async def test_what_the_account_does_not_have_is_charged_once_it_has(house: House) -> None:
    held = await a_call_that_claims_too_much(house, seconds=10_000_000)

    for _ in range(2):
        with pytest.raises(FundingRefused):
            await charge(house, held)
    assert await found(house) == [held]
    assert (await house.balance()).debited_micros == 60
    expire_ms = house.clock.now_ms() + 1_000_000
    await house.ledger.top_up(TopUp(TENANT, "lot-2", held.micros, expire_ms))

    assert await charge(house, held) == held.micros
    assert (await house.balance()).debited_micros == 10_000_000
    assert await found(house) == []


async def test_who_dies_after_the_debit_charges_nothing_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await a_call_that_claims_too_much(house)

    def dies(*_: object, **__: object) -> int:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(implausible, "_take_off", dies)
        with pytest.raises(ConnectionError):
            await charge(house, held)

    with pytest.raises(FundingRefused, match="charged"):
        await waive(house, held)
    assert await charge(house, held) == 940
    assert (await house.balance()).debited_micros == 1_000
    assert await found(house) == []


async def test_many_who_charge_and_waive_at_once_settle_it_once(house: House) -> None:
    held = await a_call_that_claims_too_much(house)

    told = await asyncio.gather(
        *(each(house, held) for each in (charge, waive) * 4), return_exceptions=True
    )

    assert all(isinstance(each, int | FundingBusy | FundingRefused) for each in told), told
    charged = {each for each in told if isinstance(each, int)}
    assert len(charged) == 1
    assert (await house.balance()).debited_micros == 60 + charged.pop()
    assert await found(house) == []


@pytest.mark.parametrize(
    "may", [{"overdraft_micros": 700}, {"post_paid": True}], ids=["an overdraft", "afterwards"]
)
async def test_it_is_charged_as_far_below_zero_as_the_call_might_have_gone(
    house: House, may: dict[str, Any]
) -> None:
    held = await a_call_that_claims_too_much(house, balance=300, **may)

    assert await charge(house, held) == 940
    assert (await house.balance()).balance_micros == 300 - 60 - 940


async def test_what_would_go_further_below_zero_stays_held_apart(house: House) -> None:
    held = await a_call_that_claims_too_much(house, balance=300, overdraft_micros=699)

    with pytest.raises(FundingRefused) as refused:
        await charge(house, held)

    assert refused.value.why is Why.FUNDS_MISSING
    assert await found(house) == [held]


@pytest.mark.parametrize("fate", [Fate.CHARGED, Fate.WAIVED])
async def test_who_dies_at_any_step_of_it_and_comes_again_settles_it_once(
    till: Till, doomed: Callable[[Gate], Till], fate: Fate
) -> None:
    for step in range(1, 20):
        house = till.house
        before = (await house.balance()).debited_micros
        held = await a_call_that_claims_too_much(house, call_id=f"call-{step}")
        gate = Gate(step)
        victim = Victim(settle(doomed(gate).funding_requests, decided(held, fate)), gate)
        stopped = await victim.reached()
        await victim.die()
        house.clock.pass_seconds(60)
        await till.work()

        told = await settle(till.funding_requests, decided(held, fate))

        assert told == (940 if fate is Fate.CHARGED else 0)
        assert (await house.balance()).debited_micros == before + 60 + told
        assert await found(house) == []
        if not stopped:
            break
    assert step > 2
