"""Lots: money leaves the oldest first, expires with its lot, and comes in and goes out once."""

from __future__ import annotations

import pytest

from ledgers import START_MS, UnderTest, a_question, an_account, ask, by_the_second, credits_
from server.ledger import (
    DirectDebit,
    Ledger,
    LotUnknown,
    Refund,
    RefundTooLarge,
    RequestReused,
    TakeBack,
    TopUp,
)

SOON_MS, LATER_MS, MUCH_LATER_MS = (START_MS + hours * 3_600_000 for hours in (1, 10, 10_000))


def lot(lot_id: str, micros: int, expire_ms: int = LATER_MS) -> TopUp:
    return TopUp("contoso", lot_id, micros, expire_ms)


async def test_a_lot_is_applied_once(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100))
    await ledger.top_up(lot("lot-1", 100))

    with pytest.raises(RequestReused):
        await ledger.top_up(lot("lot-1", 200))

    balance = await ledger.read_balance("contoso")
    assert (balance.available_micros, balance.funded_micros) == (100, 100)


@pytest.mark.parametrize("micros", [0, -1, 2**53])
async def test_a_top_up_of_nothing_is_a_mistake(ledger: Ledger, micros: int) -> None:
    """D4: it unblocks nothing."""
    await ledger.open_account(an_account(None))

    with pytest.raises(ValueError):
        await ledger.top_up(lot("lot-1", micros))

    assert (await ledger.read_balance("contoso")).available_micros is None


async def test_an_opening_balance_is_applied_once_in_the_life_of_the_store(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(100))
    await ledger.open_account(an_account(900, digest="facts-2"))

    assert (await ledger.read_balance("contoso")).available_micros == 100


async def test_money_leaves_the_oldest_lot_first(under_test: UnderTest) -> None:
    """E11: a later lot does not extend an earlier one; what is left of each expires with it."""
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("late", 100, LATER_MS))
    await ledger.top_up(lot("soon", 30, SOON_MS))
    await ledger.debit(DirectDebit("contoso", "debit-1", 20))

    clock.time_ms = SOON_MS
    soon = await ledger.read_balance("contoso")
    clock.time_ms = LATER_MS
    late = await ledger.read_balance("contoso")

    assert (soon.available_micros, soon.expired_micros) == (100, 10)
    assert (late.available_micros, late.expired_micros) == (0, 110)


async def test_money_held_by_a_call_outlives_its_lot_until_it_comes_back(
    under_test: UnderTest,
) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(100, expire_ms=START_MS + 60_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    clock.pass_seconds(60)

    due = await ledger.read_balance("contoso")
    await ledger.settle(a_question("call-1", 2), 50)
    settled = await ledger.read_balance("contoso")

    assert (due.available_micros, due.reserved_micros, due.expired_micros) == (0, 60, 40)
    assert (settled.available_micros, settled.expired_micros) == (0, 50)
    assert settled.debited_micros == 50


async def test_no_call_begins_on_money_that_is_due(under_test: UnderTest) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(1_000_000, expire_ms=SOON_MS))
    clock.time_ms = SOON_MS

    refused = await ledger.reserve(ask("call-1", 1, credits_()))

    assert refused.reason is not None
    assert refused.available_micros == 0


async def test_a_voided_lot_goes_as_its_money_comes_back(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=40))

    await ledger.void_lot("contoso", "lot-1")
    await ledger.void_lot("contoso", "lot-1")
    held = await ledger.read_balance("contoso")
    await ledger.release(a_question("call-1", 2))
    released = await ledger.read_balance("contoso")

    assert (held.available_micros, held.reserved_micros, held.voided_micros) == (0, 40, 60)
    assert (released.available_micros, released.voided_micros) == (0, 100)


async def test_a_lot_nobody_bought_cannot_be_voided(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100))

    with pytest.raises(LotUnknown):
        await ledger.void_lot("contoso", "lot-9")


async def test_what_a_provider_took_back_leaves_the_lot_once(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=40))

    taken = [await ledger.take_back(TakeBack("contoso", "r-1", "lot-1", 90)) for _ in range(2)]
    held = await ledger.read_balance("contoso")
    await ledger.release(a_question("call-1", 2))
    released = await ledger.read_balance("contoso")

    assert taken == [90, 90]
    assert (held.available_micros, held.reserved_micros, held.voided_micros) == (0, 40, 60)
    assert (released.available_micros, released.voided_micros) == (10, 90)


async def test_what_was_spent_of_a_lot_is_not_there_to_be_taken_back(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100))
    await ledger.top_up(lot("lot-2", 50, MUCH_LATER_MS))
    await ledger.debit(DirectDebit("contoso", "debit-1", 70))

    part = await ledger.take_back(TakeBack("contoso", "r-1", "lot-1", 20))
    rest = await ledger.take_back(TakeBack("contoso", "r-2", "lot-1", 80))
    nothing = await ledger.take_back(TakeBack("contoso", "r-3", "lot-1", 10))

    assert (part, rest, nothing) == (20, 10, 0)
    assert (await ledger.read_balance("contoso")).available_micros == 50


async def test_a_taking_back_stands_for_one_amount_of_one_lot(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100))
    await ledger.take_back(TakeBack("contoso", "r-1", "opening:contoso", 20))

    with pytest.raises(RequestReused):
        await ledger.take_back(TakeBack("contoso", "r-1", "opening:contoso", 21))
    with pytest.raises(LotUnknown):
        await ledger.take_back(TakeBack("contoso", "r-2", "lot-9", 20))


async def test_a_debit_is_made_once(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100))
    await ledger.debit(DirectDebit("contoso", "debit-1", 30))
    await ledger.debit(DirectDebit("contoso", "debit-1", 30))

    with pytest.raises(RequestReused):
        await ledger.debit(DirectDebit("contoso", "debit-1", 31))

    assert (await ledger.read_balance("contoso")).available_micros == 70


async def test_a_refund_goes_back_into_its_lot(under_test: UnderTest) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100, SOON_MS))
    await ledger.debit(DirectDebit("contoso", "debit-1", 100))

    await ledger.refund(Refund("contoso", "refund-1", "lot-1", 40))
    await ledger.refund(Refund("contoso", "refund-1", "lot-1", 40))
    refunded = await ledger.read_balance("contoso")
    clock.time_ms = SOON_MS

    assert (refunded.available_micros, refunded.refunded_micros) == (40, 40)
    assert (await ledger.read_balance("contoso")).expired_micros == 40


async def test_a_refund_to_a_lot_that_is_over_lives_thirty_days(under_test: UnderTest) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(None))
    await ledger.top_up(lot("lot-1", 100, SOON_MS))
    await ledger.debit(DirectDebit("contoso", "debit-1", 100))
    clock.time_ms = SOON_MS
    await ledger.refund(Refund("contoso", "refund-1", "lot-1", 40))

    clock.pass_seconds(30 * 24 * 3_600 - 1)
    alive = await ledger.read_balance("contoso")
    clock.pass_seconds(1)
    over = await ledger.read_balance("contoso")

    assert (alive.available_micros, over.available_micros) == (40, 0)


async def test_no_more_is_refunded_than_was_debited(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100))
    await ledger.debit(DirectDebit("contoso", "debit-1", 30))

    with pytest.raises(RefundTooLarge):
        await ledger.refund(Refund("contoso", "refund-1", "opening:contoso", 31))


async def test_what_is_owed_is_paid_by_the_next_lot(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100))
    await ledger.debit(DirectDebit("contoso", "debit-1", 130, overdraft_micros=50))

    owed = await ledger.read_balance("contoso")
    await ledger.top_up(lot("lot-1", 100, MUCH_LATER_MS))
    paid = await ledger.read_balance("contoso")

    assert (owed.available_micros, owed.owed_micros) == (-30, 30)
    assert (paid.available_micros, paid.owed_micros) == (70, 0)
