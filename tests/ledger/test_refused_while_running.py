"""A running call that is refused more is over, and what it talked is paid as it was granted."""

from __future__ import annotations

import pytest

from ledgers import TENANT, UnderTest, a_question, an_account, ask, extend, pool
from policy.reasons import Reason
from server.ledger import PAYING, ReserveRequest

MINUTE_MICROS = 100_000

# What the next question about the call meets: the rules, or purses with nothing in them.
REFUSED = [
    ask("call", 3, refusal=Reason.TOLL_FREE_NOT_ALLOWED),
    ask("call", 3, pool(0, pool_id="empty")),
]


@pytest.mark.parametrize("refused", REFUSED)
async def test_what_was_talked_before_the_refusal_is_paid(
    under_test: UnderTest, refused: ReserveRequest
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE_MICROS))
    await ledger.reserve(ask("call"))
    await ledger.reserve(refused)

    settled = await ledger.settle(a_question("call", 4), 90)

    balance = await ledger.read_balance(TENANT)
    assert balance.debited_micros == 2 * MINUTE_MICROS
    assert (balance.available_micros, balance.reserved_micros) == (8 * MINUTE_MICROS, 0)
    assert [(use.seconds, use.micros) for use in settled.uses] == [(90, 2 * MINUTE_MICROS)]


@pytest.mark.parametrize("refused", REFUSED)
async def test_what_is_talked_after_a_report_and_a_refusal_is_paid_too(
    under_test: UnderTest, refused: ReserveRequest
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE_MICROS))
    await ledger.reserve(ask("call"))
    await ledger.extend(extend("call", 2, 60))
    await ledger.reserve(refused)

    settled = await ledger.settle(a_question("call", 4), 90)

    assert (await ledger.read_balance(TENANT)).debited_micros == 2 * MINUTE_MICROS
    assert [(use.seconds, use.micros) for use in settled.uses] == [(90, 2 * MINUTE_MICROS)]


@pytest.mark.parametrize("refused", REFUSED)
async def test_the_refusal_gives_back_once_and_is_the_same_when_asked_again(
    under_test: UnderTest, refused: ReserveRequest
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE_MICROS))
    await ledger.reserve(ask("call"))

    first, again = await ledger.reserve(refused), await ledger.reserve(refused)

    balance = await ledger.read_balance(TENANT)
    assert (balance.available_micros, balance.reserved_micros) == (10 * MINUTE_MICROS, 0)
    assert first == again


@pytest.mark.parametrize("refused", REFUSED)
async def test_what_is_told_of_the_purses_stays_that_of_those_which_pay(
    under_test: UnderTest, refused: ReserveRequest
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE_MICROS))
    await ledger.reserve(ask("call")._replace(context=f"granted{PAYING}its purses"))
    refused = refused._replace(context=f"refused twice{PAYING}none")

    first, again = await ledger.reserve(refused), await ledger.reserve(refused)
    settled = await ledger.settle(a_question("call", 4), 90)

    assert first == again
    assert first.context == settled.context == f"refused twice{PAYING}its purses"


async def test_a_call_announced_anew_is_told_by_the_purses_it_began_with(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE_MICROS))
    await ledger.reserve(ask("call")._replace(context=f"granted{PAYING}its purses"))
    anew = ask("call", 2, pool(600))._replace(used_seconds=30, context=f"anew{PAYING}a pool")

    first, again = await ledger.reserve(anew), await ledger.reserve(anew)

    assert first == again
    assert first.context == f"anew{PAYING}its purses"
