"""A transfer that cannot arrive comes back once, and is never carried out after that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepers import Gate, drained
from ledgers import an_account
from policy.rating import MAX_WHOLE_NUMBER
from server.funding.applying import Kind
from server.funding.errors import FundingRefused, Why
from server.funding.requests import Asked
from server.ledger import DirectDebit, TopUp
from till_victims import Victim
from tills import TENANT, UNIT, Till, a_top_up

FAR_MS = 2_000_000_000_000
RECEIVER = "fabrikam"
pytestmark = pytest.mark.parametrize("archive_url", ["sqlite"], indirect=True)


def a_transfer(till: Till, micros: int = 5 * UNIT) -> Asked:
    body = {
        "debit_id": "transfer:t-1",
        "micros": micros,
        "overdraft_micros": None,
        "to_tenant_id": RECEIVER,
        "currency": "USD",
        "lot_id": "transfer:contoso:t-1",
        "expire_ms": FAR_MS,
    }
    return a_top_up("t-1", micros, kind=Kind.TRANSFER, settle=lambda _c, _row: body)


@pytest.fixture
async def full(till: Till) -> Till:
    """A till of a sender that has some money, and of a receiver that has no room."""
    await till.fund(20 * UNIT)
    await till.house.ledger.open_account(an_account(None, tenant=RECEIVER))
    await till.house.ledger.top_up(TopUp(RECEIVER, "big", MAX_WHOLE_NUMBER - 1, FAR_MS))
    return till


async def test_what_came_back_is_not_paid_out_when_there_is_room(
    full: Till, doomed: Callable[[Gate], Till]
) -> None:
    """Its process dies when it has given the money back, and has not written that down."""
    victim = Victim(doomed(gate := Gate(9)).funding_requests.ask(a_transfer(full)), gate)
    assert await victim.reached()
    await victim.die()
    await full.house.ledger.debit(DirectDebit(RECEIVER, "spend", 50 * UNIT))

    full.house.clock.pass_seconds(60)
    await full.work()

    assert await full.balance() == 20 * UNIT
    there = await full.house.ledger.read_balance(RECEIVER)
    assert there.balance_micros == MAX_WHOLE_NUMBER - 1 - 50 * UNIT
    with pytest.raises(FundingRefused) as refused:
        await full.funding_requests.ask(a_transfer(full))
    assert refused.value.why is Why.MAX_BALANCE


async def test_what_came_back_and_was_lost_by_the_store_comes_back_again(
    full: Till, doomed: Callable[[Gate], Till]
) -> None:
    """The store lost the refund, and not the debit: that had been archived."""
    victim = Victim(doomed(gate := Gate(8)).funding_requests.ask(a_transfer(full)), gate)
    assert await victim.reached()
    await drained(full.house)
    with pytest.raises(FundingRefused):
        await victim.wake()
    at_once = await full.balance()
    await full.house.store.every_node("FLUSHALL")
    await drained(full.house)
    lost = await full.balance()

    for _ in range(3):
        full.house.clock.pass_seconds(60)
        await full.work()

    assert (at_once, lost) == (20 * UNIT, 15 * UNIT)
    assert await full.balance() == 20 * UNIT


async def test_a_debit_that_was_answered_is_owed_where_the_store_lost_it(till: Till) -> None:
    """What it took was spent once more meanwhile: who spent it pays it out of the next money."""
    await till.fund(20 * UNIT)
    body = {"debit_id": "debit:d-1", "micros": 15 * UNIT, "overdraft_micros": 0}
    await till.funding_requests.ask(
        a_top_up("d-1", 15 * UNIT, kind=Kind.DEBIT, settle=lambda _c, _row: body)
    )
    await till.house.store.every_node("FLUSHALL")
    await drained(till.house)
    await till.spend(15 * UNIT, "again")

    till.house.clock.pass_seconds(60)
    await till.work()

    assert await till.balance() == -10 * UNIT
    assert (await till.house.ledger.read_balance(TENANT)).owed_micros == 10 * UNIT
