"""A credit limit: how far below zero an account may go because somebody said so."""

from __future__ import annotations

import pytest

from ledgers import an_account, ask, by_the_second
from policy.reasons import Reason
from server.ledger import AccountUnknown, DirectDebit, FundsMissing, Ledger, Superseded


async def test_calls_go_below_zero_as_far_as_the_limit_lets_them(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10))
    await ledger.set_credit_limit("contoso", 20)

    answer = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    refused = await ledger.reserve(ask("call-2", 1, by_the_second(), want=60))

    assert answer.granted_seconds == 30
    assert (await ledger.read_balance("contoso")).available_micros == -20
    assert refused.reason is Reason.CREDITS_EXHAUSTED


async def test_the_larger_of_limit_and_overdraft_counts(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10))
    await ledger.set_credit_limit("contoso", 5)

    await ledger.debit(DirectDebit("contoso", "debit-1", 18, overdraft_micros=8))

    assert (await ledger.read_balance("contoso")).available_micros == -8


async def test_a_limit_that_is_taken_back_holds_at_once(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10))
    await ledger.set_credit_limit("contoso", 20)
    await ledger.set_credit_limit("contoso", 0)

    with pytest.raises(FundsMissing):
        await ledger.debit(DirectDebit("contoso", "debit-1", 11))


async def test_an_account_that_was_never_funded_has_a_balance_with_its_limit(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(None))
    before = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    await ledger.set_credit_limit("contoso", 7)
    after = await ledger.reserve(ask("call-2", 1, by_the_second(), want=60))

    assert before.reason is Reason.BALANCE_MISSING
    assert after.granted_seconds == 7


async def test_nobody_has_a_limit_whose_account_is_not_open(ledger: Ledger) -> None:
    with pytest.raises(AccountUnknown):
        await ledger.set_credit_limit("contoso", 7)


async def test_what_is_borrowed_cannot_be_given_away(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10))
    await ledger.set_credit_limit("contoso", 20)

    with pytest.raises(FundsMissing):
        await ledger.debit(DirectDebit("contoso", "debit-1", 11, overdraft_micros=None))

    assert (await ledger.read_balance("contoso")).available_micros == 10


async def test_a_limit_that_was_asked_for_earlier_and_comes_later_changes_nothing(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(10))
    await ledger.set_credit_limit("contoso", 0, asked_ms=200)

    with pytest.raises(Superseded):
        await ledger.set_credit_limit("contoso", 20, asked_ms=100)
    await ledger.set_credit_limit("contoso", 0, asked_ms=200)

    with pytest.raises(FundsMissing):
        await ledger.debit(DirectDebit("contoso", "debit-1", 11))


async def test_an_unfreezing_that_was_asked_for_earlier_and_comes_later_changes_nothing(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(10))
    await ledger.freeze("contoso", frozen=True, asked_ms=200)

    with pytest.raises(Superseded):
        await ledger.freeze("contoso", frozen=False, asked_ms=100)

    refused = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    assert refused.reason is Reason.ACCOUNT_FROZEN
