"""What is used is debited, what is not comes back, and money moves at most once."""

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
    free,
    pool,
)
from policy.decision import ConcurrencyLimit, SpendLimit
from policy.reasons import Reason
from server.ledger import (
    CallOver,
    DirectDebit,
    FundsMissing,
    Ledger,
    ReserveRequest,
    Segment,
    TopUp,
    Use,
)
from server.ledger.keys import partition_of

PARTITION = partition_of("contoso")


async def money(ledger: Ledger) -> tuple[int | None, int]:
    """Balance and what is reserved of it."""
    balance = await ledger.read_balance("contoso")
    return balance.balance_micros, balance.reserved_micros


async def test_two_calls_share_seventy_five_seconds(ledger: Ledger) -> None:
    """A3: account and reserved after each step, in one-second increments."""
    await ledger.open_account(an_account(75))
    first = await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    assert first.granted_seconds == 30
    assert await money(ledger) == (75, 30)

    first = await ledger.extend(extend("call-1", 2, 30, want=30))
    assert first.granted_seconds == 60
    assert await money(ledger) == (45, 30)

    second = await ledger.reserve(ask("call-2", 1, by_the_second(), want=30))
    assert (second.granted_seconds, second.final) == (15, False)
    assert await money(ledger) == (45, 45)

    await ledger.settle(a_question("call-1", 3), 50)
    assert await money(ledger) == (25, 15)

    second = await ledger.extend(extend("call-2", 2, 15, want=30))
    assert (second.segments, second.final) == ((Segment(0, 15, 25, 10),), True)
    assert await money(ledger) == (10, 10)

    await ledger.settle(a_question("call-2", 3), 25)
    assert await money(ledger) == (0, 0)


async def test_a_second_talked_costs_the_first_increment_and_the_fee(ledger: Ledger) -> None:
    """A7."""
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, credits_(a_rate(fee=50_000)), want=600))

    settled = await ledger.settle(a_question("call-1", 2), 1)

    assert settled.uses == (Use(0, 1, 150_000),)
    assert await money(ledger) == (850_000, 0)


async def test_a_call_settled_at_nothing_costs_nothing(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, credits_(a_rate(fee=50_000))))

    settled = await ledger.settle(a_question("call-1", 2), 0)

    assert settled.uses == ()
    assert await money(ledger) == (1_000_000, 0)


async def test_reports_are_cumulative(ledger: Ledger) -> None:
    """B5, B15: 30 s told on the way and 50 s at the end are 50 s."""
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    await ledger.extend(extend("call-1", 2, 30))

    settled = await ledger.settle(a_question("call-1", 3), 50)

    assert settled.uses == (Use(0, 50, 50),)
    assert await money(ledger) == (950, 0)


async def test_a_report_of_less_than_before_takes_nothing_back(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    await ledger.extend(extend("call-1", 2, 30))

    settled = await ledger.settle(a_question("call-1", 3), 20)

    assert settled.used_seconds == 30
    assert await money(ledger) == (970, 0)


async def test_all_seconds_of_one_purse_are_one_usage(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, credits_()))
    for sequence, used in ((2, 10), (3, 30), (4, 59)):
        await ledger.extend(extend("call-1", sequence, used))

    settled = await ledger.settle(a_question("call-1", 5), 61)

    assert settled.uses == (Use(0, 61, 200_000),)


async def test_a_call_split_between_minutes_and_credits_is_two_usages(ledger: Ledger) -> None:
    """E2: minutes to the last second, then credits with a first increment of their own."""
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, pool(37), credits_(a_rate(fee=9_000)), want=120))

    settled = await ledger.settle(a_question("call-1", 2), 40)

    assert settled.uses == (Use(0, 37, 0), Use(1, 3, 100_000))
    assert settled.pool_left_seconds == 0


async def test_talk_beyond_the_grant_is_charged_as_far_as_purses_reach(ledger: Ledger) -> None:
    """B13: 60 from the reservation, 10 more from what there is, 5 that nobody pays."""
    await ledger.open_account(an_account(70))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    settled = await ledger.settle(a_question("call-1", 2), 75)

    assert settled.uses == (Use(0, 70, 70),)
    assert settled.overrun_seconds == 15
    assert (settled.unpaid_seconds, settled.unpaid_micros) == (5, 5)
    assert await money(ledger) == (0, 0)


async def test_a_lapsed_call_gives_back_all_it_held_once(under_test: UnderTest) -> None:
    """C1: at twice its validity, and not before."""
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(1_000))
    granted = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    clock.time_ms = granted.expire_time_ms - 1
    early = await ledger.expire(PARTITION, 10)
    clock.time_ms = granted.expire_time_ms
    in_time = await ledger.expire(PARTITION, 10)
    again = await ledger.expire(PARTITION, 10)

    assert (early, in_time, again) == (0, 1, 0)
    assert await money(ledger) == (1_000, 0)


async def test_a_late_report_is_charged_and_marked(under_test: UnderTest) -> None:
    """C2: what was granted once is no overrun; what is no longer there is not paid."""
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(60))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    clock.pass_seconds(3_600)
    await ledger.expire(PARTITION, 10)
    await ledger.reserve(ask("call-2", 1, by_the_second(), want=20))

    settled = await ledger.settle(a_question("call-1", 2), 50)

    assert settled.late
    assert settled.uses == (Use(0, 40, 40),)
    assert (settled.overrun_seconds, settled.unpaid_seconds) == (0, 10)
    assert await money(ledger) == (20, 20)


async def test_a_lapsed_call_can_go_on(under_test: UnderTest) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    clock.pass_seconds(3_600)
    await ledger.expire(PARTITION, 10)

    answer = await ledger.extend(extend("call-1", 2, 50, want=30))

    assert answer.late
    assert answer.segments == (Segment(0, 50, 80, 30),)
    assert await money(ledger) == (950, 30)


@pytest.mark.parametrize("ended_by", ["settled", "released"])
async def test_a_call_that_is_over_says_how(ledger: Ledger, ended_by: str) -> None:
    """B7: each has its own reason, and money moves at most once."""
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    if ended_by == "settled":
        await ledger.settle(a_question("call-1", 2), 20)
    else:
        await ledger.release(a_question("call-1", 2))
    before = await money(ledger)

    for attempt in (
        ledger.settle(a_question("call-1", 3), 40),
        ledger.release(a_question("call-1", 3)),
        ledger.extend(extend("call-1", 3, 40)),
    ):
        with pytest.raises(CallOver) as over:
            await attempt
        assert over.value.state == ended_by

    assert await money(ledger) == before


async def test_a_release_after_expiry_is_told_so(under_test: UnderTest) -> None:
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second()))
    clock.pass_seconds(3_600)
    await ledger.expire(PARTITION, 10)

    with pytest.raises(CallOver) as over:
        await ledger.release(a_question("call-1", 2))

    assert over.value.state == "expired"


async def test_a_refused_extension_gives_the_rest_back(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    refused = await ledger.extend(extend("call-1", 2, 10, refusal=Reason.LICENCE_MISSING))
    settled = await ledger.settle(a_question("call-1", 3), 12)

    assert refused.reason is Reason.LICENCE_MISSING
    assert settled.uses == (Use(0, 12, 12),)
    assert await money(ledger) == (988, 0)


async def test_nothing_that_only_waits_to_be_given_back_refuses_a_call(
    under_test: UnderTest,
) -> None:
    """EXPIRE_FIRST: a dead keeper never refuses calls over money that nobody holds."""
    ledger, clock = under_test.ledger, under_test.clock
    await ledger.open_account(an_account(100))
    for number in range(5):
        await ledger.reserve(ask(f"dead-{number}", 1, by_the_second(), want=20))
    clock.pass_seconds(3_600)

    granted = await ledger.reserve(ask("call-1", 1, by_the_second(), want=100))

    assert granted.granted_seconds == 100
    assert await money(ledger) == (100, 100)


async def test_legs_that_do_not_all_fit_hold_nothing(ledger: Ledger) -> None:
    """A5: a conference of three legs, the third too much: nothing is left reserved."""
    await ledger.open_account(an_account(250_000))
    legs = [ask(f"leg-{number}", 1) for number in (1, 2, 3)]

    answers = await ledger.reserve_many(legs, all_or_nothing=True)
    again = await ledger.reserve_many(legs, all_or_nothing=True)

    assert [answer.reason for answer in answers] == [Reason.CREDITS_EXHAUSTED] * 3
    assert await money(ledger) == (250_000, 0)
    assert again == answers


async def test_as_many_legs_as_fit_are_held(ledger: Ledger) -> None:
    await ledger.open_account(an_account(250_000))
    legs = [ask(f"leg-{number}", 1) for number in (1, 2, 3)]

    answers = await ledger.reserve_many(legs, all_or_nothing=False)

    assert [answer.granted_seconds for answer in answers] == [60, 60, 0]
    assert await money(ledger) == (250_000, 200_000)


@pytest.mark.parametrize(
    "legs",
    [
        (ask("leg-1", 1), ask("leg-1", 2)),
        (ask("leg-1", 1), ask("leg-2", 1, tenant="fabrikam")),
        (),
    ],
    ids=["twice the same call", "two tenants", "none"],
)
async def test_legs_that_cannot_be_one_question_are_a_mistake(
    ledger: Ledger, legs: tuple[ReserveRequest, ...]
) -> None:
    await ledger.open_account(an_account(250_000))

    with pytest.raises(ValueError):
        await ledger.reserve_many(legs, all_or_nothing=False)

    assert await money(ledger) == (250_000, 0)


async def test_only_what_no_call_holds_can_be_moved_away(ledger: Ledger) -> None:
    """A9: a move is a debit here and a top-up there."""
    await ledger.open_account(an_account(100))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    with pytest.raises(FundsMissing) as missing:
        await ledger.debit(DirectDebit("contoso", "move-1", 41))
    await ledger.debit(DirectDebit("contoso", "move-2", 40))

    assert missing.value.shortfall_micros == 1
    assert await money(ledger) == (60, 60)


async def test_a_call_on_a_free_purse_debits_nothing(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.reserve(ask("call-1", 1, free(), want=600))

    settled = await ledger.settle(a_question("call-1", 2), 900)

    assert settled.uses == (Use(0, 900, 0),)
    assert settled.unpaid_seconds == 0


async def test_a_call_lost_with_the_store_is_charged_only_for_what_is_new(
    ledger: Ledger,
) -> None:
    """A running call is announced again: seconds used, and what the archive debited for it."""
    await ledger.open_account(an_account(1_000))
    announced = ask("call-1", 7, by_the_second(), want=30)._replace(
        used_seconds=100, uses=(Use(0, 80, 80),)
    )

    answer = await ledger.reserve(announced)

    assert answer.uses == (Use(0, 100, 100),)
    assert answer.segments == (Segment(0, 100, 130, 30),)
    assert await money(ledger) == (980, 30)


async def test_a_frozen_account_grants_nothing_more(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    await ledger.freeze("contoso", frozen=True)

    new = await ledger.reserve(ask("call-2", 1, by_the_second()))
    running = await ledger.extend(extend("call-1", 2, 10))
    await ledger.freeze("contoso", frozen=False)
    thawed = await ledger.reserve(ask("call-2", 2, by_the_second()))

    assert (new.reason, running.reason) == (Reason.ACCOUNT_FROZEN, Reason.ACCOUNT_FROZEN)
    assert thawed.granted_seconds == 60


async def test_a_top_up_after_a_final_grant_lets_the_call_go_on(ledger: Ledger) -> None:
    await ledger.open_account(an_account(30))
    granted = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))
    await ledger.top_up(TopUp("contoso", "lot-1", 100, START_MS * 2))

    extended = await ledger.extend(extend("call-1", 2, 20, want=60))

    assert granted.final
    assert extended.granted_seconds == 80
    assert not extended.final


async def test_a_name_of_128_characters_counts_and_spends_like_any_other(ledger: Ledger) -> None:
    name = "o'neil_" + "x" * 109 + "#EXT#@b.c.de"
    purse = by_the_second()._replace(spend_limit=SpendLimit(name, "2027-01", 50))
    limit = ConcurrencyLimit(name, 1)
    await ledger.open_account(an_account(100))

    first, second = [
        await ledger.reserve(ask(call, 1, purse, want=30)._replace(concurrency=limit))
        for call in ("call-1", "call-2")
    ]

    assert len(name) == 128
    assert (first.reason, second.reason) == (None, Reason.CONCURRENT_CALLS)
