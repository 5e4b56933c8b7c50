"""Entries of a journal are gone, of its middle or its end: what the store knows by itself stays."""

from __future__ import annotations

import logging

import pytest

from keepers import PARTITION, SMALL_MS, House, drained
from ledgers import START_MS, YEAR_MS, an_account, by_the_second, extend
from server.archive.keeper.doctor import Doctor, Repair
from server.ledger import DirectDebit, Refund, TopUp
from server.ledger.keys import partition_of
from server.ledger.partition_audit import Auditor

JOURNAL = f"{{p{PARTITION}}}:journal"
BALANCE = 6_000
WAITING = 9
# Of the same partition.
NEIGHBOUR = next(
    name for number in range(10_000) if partition_of(name := f"tenant-{number}") == PARTITION
)


async def busy(house: House) -> None:
    """Let nine entries wait: of calls, of money without any, and of an account that is new."""
    await house.open(balance=BALANCE)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    await drained(house)
    ledger = house.ledger
    await ledger.extend(extend("call-1", 2, 10, want=90))
    await ledger.top_up(TopUp("contoso", "lot-1", 1_000, START_MS + YEAR_MS))
    await ledger.debit(DirectDebit("contoso", "debit-1", 400))
    await house.reserve("call-2", 1, by_the_second(), want=90)
    await house.settle("call-2", 2, 40)
    await ledger.refund(Refund("contoso", "refund-1", "lot-1", 100))
    await ledger.open_account(an_account(700, tenant=NEIGHBOUR))
    await ledger.debit(DirectDebit(NEIGHBOUR, "debit-1", 300))


def doctor_of(house: House) -> Doctor:
    return Doctor(Auditor(house.store), house.parts)


async def waiting(house: House) -> list[int]:
    """List the places of what is not archived."""
    position = (await house.archive.positions())[PARTITION]
    return [entry.n for entry in await house.journal.read(PARTITION, from_n=position.n + 1)]


async def require_in_order(house: House, *, used: int = 0) -> None:
    now = await house.balance()
    theirs = await house.ledger.read_balance(NEIGHBOUR)
    assert (now.funded_micros, now.debited_micros) == (7_000, 450 + used)
    assert (now.refunded_micros, now.reserved_micros) == (100, 90)
    assert theirs.balance_micros == 400
    assert await doctor_of(house).examine() == []


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("first", range(WAITING))
@pytest.mark.parametrize("archive_url", ["sqlite"], indirect=True)
async def test_nothing_is_lost_that_the_store_still_knows(
    house: House, first: int, *, goes_on: bool
) -> None:
    """Two entries go: a later one follows them, at once or when somebody writes next."""
    await busy(house)
    places = await waiting(house)
    assert len(places) == WAITING
    for place in places[first : first + 2]:
        assert await house.store.command("XDEL", JOURNAL, f"{place}-0") == 1
    used = 5 if goes_on else 0
    if goes_on:
        await house.reserve("call-3", 1, by_the_second(), want=5)
        await house.settle("call-3", 2, 5)

    for _ in range(2):
        await drained(house)

    await require_in_order(house, used=used)
    await house.ledger.debit(DirectDebit("contoso", "debit-1", 400))
    await house.settle("call-1", 3, 20)
    await drained(house)
    await house.store.command("FLUSHALL")
    house.clock.pass_seconds(SMALL_MS // 1_000)
    await drained(house)
    await house.ledger.debit(DirectDebit("contoso", "debit-1", 400))
    assert (await house.balance()).balance_micros == 7_000 - 460 - used + 100


async def test_it_is_told_which_entries_are_gone(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await busy(house)
    second, third = (await waiting(house))[1:3]
    await house.store.command("XDEL", JOURNAL, f"{second}-0", f"{third}-0")

    (found,) = await doctor_of(house).examine()
    with caplog.at_level(logging.ERROR):
        rebuilt = [(await drained(house)).figures.partitions_rebuilt for _ in range(2)]

    told = f"entries {second} to {third} are gone from the middle of its journal"
    assert told in found.text
    assert found.repair is Repair.REBUILD
    assert any(told in record.getMessage() for record in caplog.records)
    assert rebuilt == [0, 1]
