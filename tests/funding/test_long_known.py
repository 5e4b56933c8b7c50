"""Debits and refunds of long ago: the ledger forgets their ids, and makes none of them twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepers import PARTITION, Gate, drained
from ledgers import START_MS, an_account
from server.funding.applying import Kind
from server.ledger import DirectDebit, LotDue, Refund, TopUp
from server.ledger.keys import opening_lot, partition_keys
from till_victims import Victim
from tills import DAY_MS, TENANT, UNIT, Till, a_top_up

LONG_SECONDS = 31 * DAY_MS // 1_000


async def known_to(till: Till) -> list[str]:
    """What the ledger knows of ids."""
    names = await till.house.store.command("HKEYS", partition_keys(PARTITION).accounts)
    return sorted(name.decode()[6:] for name in names if name.startswith(b"known/"))


async def busy(till: Till) -> None:
    await till.fund(50 * UNIT)
    for number in range(3):
        await till.spend(UNIT, f"debit-{number}")
    await till.house.ledger.refund(Refund(TENANT, "refund-1", "first", UNIT))
    await drained(till.house)


async def test_debits_and_refunds_leave_nothing_in_the_account_for_good(till: Till) -> None:
    await busy(till)
    keeper = await drained(till.house)
    await keeper.sweep()
    at_first = await known_to(till)
    await till.house.ledger.debit(DirectDebit(TENANT, "debit-1", UNIT))

    till.house.clock.pass_seconds(LONG_SECONDS)
    await keeper.sweep()

    assert len(at_first) == 5
    assert await known_to(till) == ["contoso/first"]
    assert await till.balance() == 48 * UNIT


async def test_lots_that_are_over_leave_nothing_in_the_account_for_good(till: Till) -> None:
    """But for the opening lot: by that it is known that the balance was given."""
    await till.house.ledger.open_account(an_account(9 * UNIT))
    await till.fund(50 * UNIT)
    await till.house.ledger.top_up(TopUp(TENANT, "later", UNIT, START_MS + 500 * DAY_MS))
    await till.house.ledger.rule_out(TENANT, "never")
    await till.house.ledger.void_lot(TENANT, "first")
    keeper = await drained(till.house)
    at_first = await known_to(till)
    opening = f"contoso/{opening_lot(TENANT)}"

    till.house.clock.pass_seconds((365 + 29) * DAY_MS // 1_000)
    await keeper.sweep()
    a_day_before = await known_to(till)
    till.house.clock.pass_seconds(2 * DAY_MS // 1_000)
    await keeper.sweep()
    swept = await known_to(till)
    await drained(till.house)
    await till.house.rebuild.rebuild(PARTITION, (await till.house.archive.positions())[PARTITION])

    assert at_first == ["contoso/first", "contoso/later", "contoso/never", opening]
    assert a_day_before == ["contoso/first", "contoso/later", opening]
    assert swept == await known_to(till) == ["contoso/later", opening]
    with pytest.raises(LotDue):
        await till.house.ledger.top_up(TopUp(TENANT, "first", 50 * UNIT, START_MS + 365 * DAY_MS))
    await till.house.ledger.open_account(an_account(9 * UNIT))
    assert await till.balance() == UNIT


async def test_a_partition_that_is_filled_anew_knows_no_more_than_it_would_have(
    till: Till,
) -> None:
    await busy(till)
    till.house.clock.pass_seconds(LONG_SECONDS)
    await till.spend(UNIT, "debit-9")

    position = (await till.house.archive.positions())[PARTITION]
    await till.house.rebuild.rebuild(PARTITION, position)
    await till.house.ledger.debit(DirectDebit(TENANT, "debit-9", UNIT))

    assert await known_to(till) == ["contoso/debit-9", "contoso/first"]
    assert await till.balance() == 47 * UNIT


async def test_a_debit_that_was_left_behind_for_a_month_is_not_made_again(
    till: Till, doomed: Callable[[Gate], Till]
) -> None:
    """It was made, and died before that was written down; the ledger has forgotten it since."""
    await till.fund(50 * UNIT)
    body = {"debit_id": "debit:d-1", "micros": UNIT, "overdraft_micros": 0}
    asked = a_top_up("d-1", UNIT, kind=Kind.DEBIT, settle=lambda _connection, _row: body)
    gate = Gate(3)
    victim = Victim(doomed(gate).funding_requests.ask(asked), gate)
    assert await victim.reached()
    await victim.die()
    made = await till.balance()
    keeper = await drained(till.house)
    till.house.clock.pass_seconds(LONG_SECONDS)
    await keeper.sweep()
    forgotten = await known_to(till)

    await till.work()
    answer = await till.funding_requests.ask(asked)

    assert (made, forgotten) == (49 * UNIT, ["contoso/first"])
    assert answer.state == "applied"
    assert await till.balance() == 49 * UNIT
