"""A grant ends with the money that pays it, unless other money follows."""

from __future__ import annotations

import pytest

from ledgers import (
    START_MS,
    UnderTest,
    a_question,
    a_rate,
    an_account,
    ask,
    by_the_second,
    credits_,
    extend,
    pool,
)
from policy.decision import Purse
from policy.reasons import Reason
from server.ledger import Ledger, TopUp

MINUTE = 100_000


def a_lot(micros: int, lasts_seconds: int, lot_id: str = "lot-1") -> TopUp:
    return TopUp("contoso", lot_id, micros, START_MS + lasts_seconds * 1_000)


@pytest.mark.parametrize(
    ("purses", "granted"),
    [
        ((by_the_second(),), 90),
        ((credits_(a_rate(60_000)),), 90),
        ((pool(40), by_the_second()), 90),
        ((pool(200), by_the_second()), 200),
        ((credits_(a_rate(60, first=1, following=1), overdraft=50),), 140),
        ((credits_(a_rate(0)),), 300),
    ],
    ids=["seconds", "minutes", "after a pool", "a pool alone", "with an overdraft", "for nothing"],
)
async def test_a_slice_ends_with_the_only_lot_that_pays_it(
    ledger: Ledger, purses: tuple[Purse, ...], granted: int
) -> None:
    """Edge case 47: a lot that expires during a call."""
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(10_000_000, 90))

    answer = await ledger.reserve(ask("call", 1, *purses, want=300))

    assert answer.granted_seconds == granted


async def test_the_rest_comes_from_the_next_lot(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(1_000, 90))
    await ledger.top_up(a_lot(30, 9_000, "lot-2"))

    answer = await ledger.reserve(ask("call", 1, by_the_second(), want=300))

    assert (answer.granted_seconds, answer.final) == (120, True)


async def test_each_of_several_lots_pays_until_its_own_end(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(1_000, 90))
    await ledger.top_up(a_lot(1_000, 150, "lot-2"))
    await ledger.top_up(a_lot(20, 9_000, "lot-3"))

    answer = await ledger.reserve(ask("call", 1, by_the_second(), want=300))

    assert answer.granted_seconds == 170


async def test_a_lot_that_lasts_longer_cuts_nothing(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(1_000, 300))

    answer = await ledger.reserve(ask("call", 1, by_the_second(), want=300))

    assert (answer.granted_seconds, answer.final) == (300, True)


async def test_an_extension_ends_with_its_money_and_a_top_up_carries_it_on(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(10_000, 90))
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    under_test.clock.pass_seconds(50)

    last = await ledger.extend(extend("call", 2, 50, want=60))
    await ledger.top_up(a_lot(10_000, 9_000, "lot-2"))
    more = await ledger.extend(extend("call", 3, 50, want=60))

    assert (last.granted_seconds, last.final) == (90, True)
    assert (more.granted_seconds, more.final) == (110, False)


async def test_what_was_talked_before_the_money_expired_is_charged_whole(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(10_000, 90))
    await ledger.reserve(ask("call", 1, by_the_second(), want=10))
    under_test.clock.pass_seconds(80)

    settled = await ledger.settle(a_question("call", 2), 80)

    assert [(use.seconds, use.micros) for use in settled.uses] == [(80, 80)]
    assert settled.unpaid_seconds == 0


async def test_the_last_increment_is_paid_once_and_ends_with_its_lot(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(None))
    await ledger.top_up(a_lot(2 * MINUTE, 90))

    granted = await ledger.reserve(ask("call", 1, want=300))
    under_test.clock.pass_seconds(60)
    again = await ledger.extend(extend("call", 2, 60, want=60))
    under_test.clock.pass_seconds(30)
    settled = await ledger.settle(a_question("call", 3), 90)

    assert (granted.granted_seconds, granted.final) == (90, True)
    assert granted.segments[0].held_micros == 2 * MINUTE
    assert (again.granted_seconds, again.final) == (90, True)
    assert [(use.seconds, use.micros) for use in settled.uses] == [(90, 2 * MINUTE)]


async def test_nothing_is_granted_of_money_that_lasts_no_second(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.top_up(TopUp("contoso", "lot-1", 1_000, START_MS + 900))

    answer = await ledger.reserve(ask("call", 1, by_the_second(), want=300))

    assert answer.reason is Reason.CREDITS_EXHAUSTED
