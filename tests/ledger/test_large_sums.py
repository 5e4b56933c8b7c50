"""Amounts near the largest that a ledger holds, and sums over the life of an account beyond it."""

from __future__ import annotations

import pytest

from ledgers import START_MS, YEAR_MS, an_account, ask, by_the_second
from server.ledger import BalanceTooLarge, DirectDebit, FundsMissing, Ledger, Refund, TopUp

MOST = 2**53 - 1
ROUNDS = 5


def a_lot(lot_id: str, micros: int) -> TopUp:
    return TopUp("contoso", lot_id, micros, START_MS + YEAR_MS)


async def spent(ledger: Ledger, rounds: int) -> None:
    """Fund and spend nearly the most there can be, again and again."""
    for number in range(rounds):
        await ledger.top_up(a_lot(f"lot-{number}", MOST - 1_000))
        await ledger.debit(DirectDebit("contoso", f"debit-{number}", MOST - 1_001))


async def test_a_busy_account_goes_on_beyond_what_a_double_counts(ledger: Ledger) -> None:
    """9.0e9 units of a currency: a few years of a large tenant in rupiah."""
    await ledger.open_account(an_account(60))

    await spent(ledger, ROUNDS)
    await ledger.refund(Refund("contoso", "refund-1", "lot-0", MOST - 1_001))
    answer = await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    balance = await ledger.read_balance("contoso")

    assert answer.granted_seconds == 30
    assert balance.funded_micros == 60 + ROUNDS * (MOST - 1_000)
    assert balance.debited_micros == ROUNDS * (MOST - 1_001)
    assert balance.refunded_micros == MOST - 1_001
    assert balance.balance_micros == 60 + ROUNDS + MOST - 1_001


async def test_a_lot_that_an_account_cannot_hold_is_not_taken_in(ledger: Ledger) -> None:
    await ledger.open_account(an_account(60))

    with pytest.raises(BalanceTooLarge):
        await ledger.top_up(a_lot("lot-1", MOST - 59))
    await ledger.top_up(a_lot("lot-1", MOST - 60))

    assert (await ledger.read_balance("contoso")).balance_micros == MOST


async def test_a_refund_that_an_account_cannot_hold_gives_nothing_back(ledger: Ledger) -> None:
    await ledger.open_account(an_account(60))
    await ledger.debit(DirectDebit("contoso", "debit-1", 60))
    await ledger.top_up(a_lot("lot-1", MOST))

    with pytest.raises(BalanceTooLarge):
        await ledger.refund(Refund("contoso", "refund-1", "opening:contoso", 60))

    assert (await ledger.read_balance("contoso")).refunded_micros == 0


async def test_a_debit_far_beyond_an_overdrawn_balance_is_told_as_short(ledger: Ledger) -> None:
    await ledger.open_account(an_account(0))
    await ledger.set_credit_limit("contoso", MOST)
    await ledger.debit(DirectDebit("contoso", "debit-1", MOST))
    await ledger.set_credit_limit("contoso", 0)

    with pytest.raises(FundsMissing) as missing:
        await ledger.debit(DirectDebit("contoso", "debit-2", MOST))

    assert missing.value.shortfall_micros == MOST
