"""The journal of a partition is lost and nothing else: what the store knows by itself stays."""

from __future__ import annotations

import asyncio

import pytest

from keepers import PARTITION, House, drained, go_back
from ledgers import START_MS, YEAR_MS, by_the_second, credits_, extend, pool
from server.archive import CallState
from server.archive.keeper.carrying import Carrying
from server.archive.keeper.comparison import Comparison
from server.archive.keeper.doctor import Doctor, Repair
from server.ledger import AccountUnknown, Balance, DirectDebit, Refund, TopUp
from server.ledger.partition_audit import Auditor

KEYS = f"{{p{PARTITION}}}"
ACCOUNTS, JOURNAL = f"{KEYS}:accounts", f"{KEYS}:journal"
BALANCE = 6_000


async def lose_journal(house: House) -> None:
    assert await house.store.command("DEL", JOURNAL) == 1


def doctor_of(house: House) -> Doctor:
    return Doctor(Auditor(house.store), house.parts)


async def busy(house: House, *, archived: bool) -> Balance:
    """Leave a call that paid 75, one that paid 5, and one that runs, paid 10 and holds 90."""
    await house.open(balance=BALANCE)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    await house.settle("call-1", 2, 75)
    await house.reserve("call-2", 1, by_the_second(), want=90)
    await drained(house)
    await house.ledger.extend(extend("call-2", 2, 10, want=90))
    await house.reserve("call-3", 1, by_the_second(), want=90)
    await house.settle("call-3", 2, 5)
    if archived:
        await drained(house)
    return await house.balance()


async def require_in_order(house: House, *, debited: int, funded: int = BALANCE) -> None:
    """See that ledger and archive tell the same, and that it is what was used."""
    now, image = await house.balance(), await house.image()
    assert now.available_micros is not None
    assert (now.funded_micros, now.debited_micros) == (funded, debited)
    assert now.available_micros + now.reserved_micros == funded - debited
    assert image.available_micros == funded - debited
    assert image.account.debited_micros == debited
    assert sum(lot.left_micros for lot in image.lots) == funded - debited
    assert await doctor_of(house).examine() == []


@pytest.mark.parametrize("archived", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
async def test_no_debit_is_lost_and_calls_that_run_keep_what_they_hold(
    house: House, *, archived: bool, goes_on: bool
) -> None:
    before, debited = await busy(house, archived=archived), 90
    await lose_journal(house)
    if goes_on:
        await house.reserve("call-4", 1, by_the_second(), want=90)
        await house.settle("call-4", 2, 7)
        debited += 7

    keeper = await drained(house)

    assert keeper.figures.partitions_rebuilt == 1
    assert (await house.balance()).reserved_micros == before.reserved_micros == 90
    await require_in_order(house, debited=debited)
    for _ in range(2):
        await house.settle("call-2", 3, 40)
        await drained(house)
        await require_in_order(house, debited=debited + 30)
    charges = [row["charge_micros"] for row in await usage(house)]
    assert sum(charges) == debited + 30


async def usage(house: House) -> list[dict[str, int]]:
    return await house.archive.usage("contoso", from_ms=0, to_ms=START_MS + YEAR_MS)


async def test_many_calls_went_on_before_a_keeper_came(house: House) -> None:
    await busy(house, archived=False)
    await lose_journal(house)
    await house.ledger.extend(extend("call-2", 3, 30, want=90))
    for number in range(10, 20):
        await house.reserve(f"call-{number}", 1, by_the_second(), want=20)
        await house.settle(f"call-{number}", 2, number)

    await drained(house)

    await require_in_order(house, debited=75 + 5 + 30 + sum(range(10, 20)))
    await house.settle("call-2", 4, 31)
    await drained(house)
    await require_in_order(house, debited=75 + 5 + 31 + sum(range(10, 20)))


async def test_what_follows_is_archived_as_ever(house: House) -> None:
    await busy(house, archived=False)
    await lose_journal(house)
    await drained(house)
    await house.reserve("call-4", 1, by_the_second(), want=90)
    await house.settle("call-4", 2, 7)

    keeper = await drained(house)

    assert keeper.figures.partitions_rebuilt == 0
    assert await house.store.command("XLEN", JOURNAL) == 1
    await require_in_order(house, debited=97)


async def test_it_may_be_lost_again_and_again(house: House) -> None:
    await busy(house, archived=False)
    for sequence, used in ((3, 20), (4, 35), (5, 50)):
        await lose_journal(house)
        await house.ledger.extend(extend("call-2", sequence, used, want=90))
        await drained(house)
        await require_in_order(house, debited=80 + used)


async def test_a_server_that_connects_shuts_it_and_loses_nothing(house: House) -> None:
    before = await busy(house, archived=False)
    await lose_journal(house)

    await Comparison(house.journal, house.archive, house.rebuild).before_use()
    with pytest.raises(AccountUnknown):
        await house.balance()
    await house.open(balance=BALANCE)
    await house.reserve("call-4", 1, by_the_second(), want=60)

    assert (await house.balance()).reserved_micros == before.reserved_micros + 60
    await drained(house)
    await require_in_order(house, debited=90)


async def test_two_mend_it_at_once(house: House) -> None:
    await busy(house, archived=False)
    await lose_journal(house)

    await asyncio.gather(drained(house), house.open(balance=BALANCE), drained(house))
    await drained(house)

    await require_in_order(house, debited=90)
    assert (await house.balance()).reserved_micros == 90


async def test_who_died_after_archiving_what_was_carried_over_does_no_harm(house: House) -> None:
    await busy(house, archived=False)
    await lose_journal(house)
    position = (await house.archive.positions())[PARTITION]
    position = await house.rebuild.shut(PARTITION, position, None)
    state = await house.parts.keeping.read_aside(PARTITION)
    assert state is not None
    entries = await Carrying(house.archive, PARTITION, state).entries(position)
    await house.archive.append(PARTITION, position, entries, epoch=position.epoch)

    await drained(house)

    await require_in_order(house, debited=90)
    assert sum(row["charge_micros"] for row in await usage(house)) == 80


async def test_money_without_calls_is_carried_over(house: House) -> None:
    await busy(house, archived=True)
    ledger = house.ledger
    lots = [TopUp("contoso", name, 1_000, START_MS + YEAR_MS) for name in ("lot-1", "lot-2")]
    for lot in lots:
        await ledger.top_up(lot)
    debit = DirectDebit("contoso", "debit-1", 400)
    refund = Refund("contoso", "refund-1", "lot-1", 100)
    await ledger.debit(debit)
    await ledger.refund(refund)
    await ledger.void_lot("contoso", "lot-2")
    await house.ledger.extend(extend("call-2", 3, 11, want=90))
    before = await house.balance()
    await lose_journal(house)

    await drained(house)

    for lot in lots:
        await ledger.top_up(lot)
    await ledger.debit(debit)
    await ledger.refund(refund)
    assert await house.balance() == before
    await house.store.command("FLUSHALL")
    await drained(house)
    for lot in lots:
        await ledger.top_up(lot)
    await ledger.debit(debit)
    await ledger.refund(refund)
    now = await house.balance()
    assert now.available_micros == BALANCE + 1_000 - 75 - 5 - 11 - 400 + 100
    assert (now.voided_micros, now.debited_micros) == (1_000, 75 + 5 + 11 + 400)
    assert await doctor_of(house).examine() == []


async def test_minutes_and_calls_whose_purses_changed_are_carried_over(house: House) -> None:
    await house.open(balance=BALANCE)
    await house.reserve("call-1", 1, pool(100), by_the_second(), want=120)
    await house.ledger.extend(extend("call-1", 2, 30, want=90))
    await drained(house)
    await house.reserve("call-1", 3, by_the_second(), want=60, used=50)
    await house.reserve("call-2", 1, pool(100), want=20)
    await house.settle("call-2", 2, 20)
    before = await house.balance()
    await lose_journal(house)

    await drained(house)

    assert await doctor_of(house).examine() == []
    assert await house.balance() == before
    await house.settle("call-1", 4, 60)
    await drained(house)
    assert await doctor_of(house).examine() == []
    assert sum(row["duration_seconds"] for row in await usage(house)) == 80


async def test_calls_that_are_invoiced_are_carried_over(house: House) -> None:
    await house.open(balance=None)
    await house.reserve("call-1", 1, credits_(post_paid=True))
    await house.settle("call-1", 2, 60)
    before = await house.balance()
    await lose_journal(house)

    await drained(house)

    assert await house.balance() == before
    assert before.post_paid_micros == 100_000
    assert (await house.image()).account.post_paid_micros == 100_000
    assert await doctor_of(house).examine() == []


@pytest.mark.parametrize("goes_on", [True, False])
async def test_an_account_of_which_the_archive_never_heard_is_carried_over(
    house: House, *, goes_on: bool
) -> None:
    await house.open(balance=BALANCE)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    await lose_journal(house)
    if goes_on:
        await house.settle("call-1", 2, 40)

    await drained(house)

    await require_in_order(house, debited=40 if goes_on else 0)


async def test_an_end_is_answered_as_before(house: House) -> None:
    await busy(house, archived=False)
    await house.settle("call-2", 3, 40)
    await lose_journal(house)

    await drained(house)
    await house.settle("call-2", 3, 40)

    await require_in_order(house, debited=120)
    (row, _) = (await house.archive.calls([("contoso", await opened_id(house))])).popitem()[1]
    assert (row.state, row.used_seconds) == (CallState.SETTLED, 40)


async def opened_id(house: House) -> str:
    paid = await Auditor(house.store).paid(PARTITION)
    (opened,) = (name for name, call in paid.items() if call.call_id == "call-2")
    return opened


@pytest.mark.parametrize("goes_on", [True, False])
async def test_an_old_archive_is_told_as_such_and_nothing_is_mended_from_it(
    house: House, *, goes_on: bool
) -> None:
    await house.open(balance=BALANCE)
    old = (await house.archive.positions())[PARTITION]
    before = await busy(house, archived=True)
    await go_back(house, old)
    await lose_journal(house)
    if goes_on:
        await house.reserve("call-4", 1, by_the_second(), want=30)

    keeper = await drained(house)

    assert keeper.figures.partitions_rebuilt == 0
    assert "archived is entry 1 of epoch 1" in keeper.figures.troubles[PARTITION]
    assert (await house.balance()).debited_micros == before.debited_micros
    found = await doctor_of(house).examine()
    assert [each.repair for each in found] == [Repair.RESTORE_ARCHIVE]


async def test_a_store_of_an_older_version_that_noted_nothing_is_mended_where_that_is_safe(
    house: House,
) -> None:
    before = await busy(house, archived=False)
    await house.store.command("HDEL", ACCOUNTS, "archived")
    await lose_journal(house)

    await drained(house)

    assert await house.balance() == before
    await require_in_order(house, debited=90)
