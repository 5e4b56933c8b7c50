"""One walk over the purses: who gives how much, why not, and when a grant is the last."""

from __future__ import annotations

from ledgers import a_question, a_rate, an_account, ask, by_the_second, credits_, free, pool
from policy.reasons import Reason
from server.ledger import DirectDebit, Ledger, Segment, Use


async def test_a_pool_pays_before_credits(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))

    answer = await ledger.reserve(ask("call-1", 1, pool(600), credits_()))

    assert answer.segments == (Segment(0, 0, 60, 0),)
    assert answer.pool_left_seconds == 540
    assert answer.available_micros == 1_000_000
    assert not answer.final


async def test_a_call_covered_by_minutes_needs_no_credit(ledger: Ledger) -> None:
    """E1: with credit 0 it is allowed, and no connection fee is held or charged."""
    await ledger.open_account(an_account(0))

    answer = await ledger.reserve(
        ask("call-1", 1, pool(600), credits_(a_rate(fee=50_000)), want=300)
    )

    assert answer.segments == (Segment(0, 0, 300, 0),)
    assert (await ledger.read_balance("contoso")).reserved_micros == 0
    settled = await ledger.settle(a_question("call-1", 2), 250)
    assert settled.uses == (Use(0, 250, 0),)
    assert (await ledger.read_balance("contoso")).available_micros == 0


async def test_credits_take_over_to_the_second_where_minutes_end(ledger: Ledger) -> None:
    """E2: minutes to the last odd second, then a first increment of its own; then it is final."""
    await ledger.open_account(an_account(200_000))

    answer = await ledger.reserve(ask("call-1", 1, pool(37), credits_(), want=600))

    assert answer.segments == (Segment(0, 0, 37, 0), Segment(1, 37, 157, 200_000))
    assert answer.granted_seconds == 157
    assert answer.final


async def test_credits_round_time_up_to_the_increment(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))

    answer = await ledger.reserve(
        ask("call-1", 1, credits_(a_rate(first=30, following=6)), want=31)
    )

    assert answer.segments == (Segment(0, 0, 36, 60_000),)


async def test_credits_round_time_down_when_money_ends(ledger: Ledger) -> None:
    await ledger.open_account(an_account(65_000))

    answer = await ledger.reserve(
        ask("call-1", 1, credits_(a_rate(first=30, following=6)), want=60)
    )

    assert answer.segments == (Segment(0, 0, 36, 60_000),)
    assert answer.final


async def test_less_than_the_first_increment_is_nothing(ledger: Ledger) -> None:
    """A6: 0.05 left and 0.10 needed: refused, with the shortfall, and the balance unchanged."""
    await ledger.open_account(an_account(50_000))

    answer = await ledger.reserve(ask("call-1", 1, credits_()))

    assert answer.reason is Reason.CREDITS_EXHAUSTED
    assert answer.shortfall_micros == 50_000
    assert (await ledger.read_balance("contoso")).available_micros == 50_000


async def test_the_connection_fee_is_needed_in_the_reservation(ledger: Ledger) -> None:
    await ledger.open_account(an_account(149_999))
    rate = a_rate(fee=50_000)

    short = await ledger.reserve(ask("call-1", 1, credits_(rate)))
    await ledger.open_account(an_account(150_000, tenant="fabrikam"))
    enough = await ledger.reserve(ask("call-1", 1, credits_(rate), tenant="fabrikam"))

    assert (short.reason, short.shortfall_micros) == (Reason.CREDITS_EXHAUSTED, 1)
    assert enough.segments == (Segment(0, 0, 60, 150_000),)


async def test_no_connection_fee_is_held_where_a_pool_pays_the_first_second(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(100_000))

    answer = await ledger.reserve(ask("call-1", 1, pool(10), credits_(a_rate(fee=50_000)), want=70))

    assert answer.segments == (Segment(0, 0, 10, 0), Segment(1, 10, 70, 100_000))


async def test_a_toll_free_call_needs_a_positive_balance_for_its_first_increment(
    ledger: Ledger,
) -> None:
    """E3: 0 or less refused, one micro short refused, exactly enough granted."""
    found = {}
    for tenant, balance in (("owing", 0), ("zero", 0), ("short", 99_999), ("enough", 100_000)):
        await ledger.open_account(an_account(balance, tenant=tenant))
        if tenant == "owing":
            await ledger.debit(DirectDebit(tenant, "debit-1", 1, overdraft_micros=1))
        purse = credits_(reason=Reason.TOLL_FREE_NEEDS_CREDIT)
        found[tenant] = await ledger.reserve(ask("call-1", 1, purse, tenant=tenant))

    assert found["owing"].reason is Reason.TOLL_FREE_NEEDS_CREDIT
    assert found["owing"].shortfall_micros == 100_001
    assert found["zero"].reason is Reason.TOLL_FREE_NEEDS_CREDIT
    assert found["zero"].shortfall_micros == 100_000
    assert found["short"].reason is Reason.TOLL_FREE_NEEDS_CREDIT
    assert found["short"].shortfall_micros == 1
    assert found["enough"].granted_seconds == 60


async def test_a_toll_free_call_at_no_price_still_needs_a_positive_balance(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(0))
    nothing = a_rate(per_minute=0)

    toll_free = await ledger.reserve(
        ask("call-1", 1, credits_(nothing, reason=Reason.TOLL_FREE_NEEDS_CREDIT))
    )
    outbound = await ledger.reserve(ask("call-2", 1, credits_(nothing)))

    assert (toll_free.reason, toll_free.shortfall_micros) == (Reason.TOLL_FREE_NEEDS_CREDIT, 1)
    assert outbound.granted_seconds == 60


async def test_an_account_never_funded_is_not_a_balance_of_zero(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))
    await ledger.open_account(an_account(0, tenant="fabrikam"))

    unfunded = await ledger.reserve(ask("call-1", 1, credits_()))
    empty = await ledger.reserve(ask("call-1", 1, credits_(), tenant="fabrikam"))

    assert unfunded.reason is Reason.BALANCE_MISSING
    assert unfunded.available_micros is None
    assert empty.reason is Reason.CREDITS_EXHAUSTED
    assert empty.available_micros == 0
    assert (await ledger.read_balance("contoso")).balance_micros is None


async def test_the_bound_that_binds_gives_the_reason(ledger: Ledger) -> None:
    await ledger.open_account(an_account(150_000))
    await ledger.reserve(ask("call-1", 1, credits_(limit=150_000)))

    both = await ledger.reserve(ask("call-2", 1, credits_(limit=150_000)))
    money = await ledger.reserve(ask("call-3", 1, credits_(limit=10_000_000)))
    limit = await ledger.reserve(ask("call-4", 1, credits_(a_rate(10_000), limit=100_000)))

    assert both.reason is Reason.SPEND_LIMIT_REACHED
    assert money.reason is Reason.CREDITS_EXHAUSTED
    assert (limit.reason, limit.shortfall_micros) == (Reason.SPEND_LIMIT_REACHED, 0)


async def test_a_spend_limit_holds_for_all_calls_of_one_account(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10_000_000))

    first = await ledger.reserve(ask("call-1", 1, credits_(limit=300_000), want=120))
    second = await ledger.reserve(ask("call-2", 1, credits_(limit=300_000), want=120))
    third = await ledger.reserve(ask("call-3", 1, credits_(), want=120))

    assert (first.granted_seconds, second.granted_seconds) == (120, 60)
    assert third.granted_seconds == 120


async def test_an_overdraft_is_lent_and_no_more(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))

    lent = await ledger.reserve(ask("call-1", 1, credits_(overdraft=150_000), want=600))
    balance = await ledger.read_balance("contoso")

    assert lent.granted_seconds == 120
    assert (balance.available_micros, balance.reserved_micros) == (-100_000, 200_000)


async def test_post_paid_calls_have_no_floor_under_them(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None, prepaid=False))

    answer = await ledger.reserve(ask("call-1", 1, credits_(post_paid=True), want=600))
    balance = await ledger.read_balance("contoso")

    assert answer.granted_seconds == 600
    assert not answer.final
    assert balance.available_micros is None
    assert (balance.reserved_micros, balance.post_paid_micros) == (1_000_000, 1_000_000)


async def test_a_post_paid_call_is_still_bound_by_its_spend_limit(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None, prepaid=False))

    answer = await ledger.reserve(
        ask("call-1", 1, credits_(post_paid=True, limit=200_000), want=600)
    )

    assert answer.granted_seconds == 120
    assert answer.final


async def test_either_cap_stops_a_plan(ledger: Ledger) -> None:
    await ledger.open_account(an_account(0))
    abroad = pool(60, counter="other")
    await ledger.reserve(ask("call-1", 1, abroad, want=60))
    held = await ledger.reserve(ask("call-2", 1, pool(600, other_size=60)))

    await ledger.settle(a_question("call-1", 2), 60)
    stopped = await ledger.reserve(ask("call-3", 1, pool(600, other_size=60)))

    assert held.granted_seconds == 60
    assert stopped.reason is Reason.ALLOWANCE_EXHAUSTED
    assert stopped.pool_left_seconds == 0


async def test_the_last_purse_gives_the_reason(ledger: Ledger) -> None:
    await ledger.open_account(an_account(0))
    no_licence = pool(0, reason=Reason.LICENCE_MISSING)

    pool_last = await ledger.reserve(ask("call-1", 1, no_licence))
    credits_last = await ledger.reserve(ask("call-2", 1, no_licence, credits_()))

    assert pool_last.reason is Reason.LICENCE_MISSING
    assert (pool_last.shortfall_micros, pool_last.available_micros) == (0, None)
    assert credits_last.reason is Reason.CREDITS_EXHAUSTED
    assert credits_last.shortfall_micros == 100_000


async def test_a_grant_is_final_only_when_nobody_else_holds_of_its_purses(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(90))
    first = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    second = await ledger.reserve(ask("call-2", 1, by_the_second(), want=60))
    await ledger.release(a_question("call-1", 2))
    third = await ledger.reserve(ask("call-2", 2, by_the_second(), want=90))

    assert not first.final
    assert (second.granted_seconds, second.final) == (30, False)
    assert (third.granted_seconds, third.final) == (90, True)


async def test_a_free_purse_costs_nothing_and_never_ends(ledger: Ledger) -> None:
    await ledger.open_account(an_account(None))

    answer = await ledger.reserve(ask("call-1", 1, free(), want=3_600))

    assert answer.segments == (Segment(0, 0, 3_600, 0),)
    assert not answer.final
    assert (answer.available_micros, answer.pool_left_seconds) == (None, None)


async def test_calls_above_the_limit_of_an_account_are_refused(ledger: Ledger) -> None:
    """G1: two of many; one ends, one more."""
    await ledger.open_account(an_account(10_000_000))
    for number in (1, 2):
        await ledger.reserve(ask(f"call-{number}", 1, running_limit=2))

    third = await ledger.reserve(ask("call-3", 1, running_limit=2))
    await ledger.release(a_question("call-1", 2))
    fourth = await ledger.reserve(ask("call-4", 1, running_limit=2))

    assert third.reason is Reason.CONCURRENT_CALLS
    assert fourth.granted_seconds == 60
    assert (await ledger.read_balance("contoso")).reserved_micros == 200_000


async def test_a_replaced_call_does_not_count_twice(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10_000_000))
    await ledger.reserve(ask("call-1", 1, running_limit=1))

    replaced = await ledger.reserve(ask("call-1", 2, running_limit=1))

    assert replaced.granted_seconds == 60


async def test_the_earlier_reason_is_told_where_two_apply(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))
    await ledger.reserve(ask("call-1", 1, running_limit=1))

    no_money = await ledger.reserve(ask("call-2", 1, running_limit=1))
    limit = await ledger.reserve(ask("call-3", 1, credits_(limit=0), running_limit=1))

    assert no_money.reason is Reason.CONCURRENT_CALLS
    assert limit.reason is Reason.SPEND_LIMIT_REACHED


async def test_a_contended_purse_gives_smaller_grants_but_never_below_the_floor(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(1_000))
    alone = await ledger.reserve(ask("call-1", 1, by_the_second(), want=400))

    contended = await ledger.reserve(ask("call-2", 1, by_the_second(), want=400))
    await ledger.reserve(ask("call-3", 1, by_the_second(), want=400))
    at_the_floor = await ledger.reserve(ask("call-4", 1, by_the_second(), want=400))
    small = await ledger.reserve(ask("call-5", 1, by_the_second(), want=10))

    assert alone.granted_seconds == 400
    assert contended.granted_seconds == 600 // 4
    assert at_the_floor.granted_seconds == 84
    assert small.granted_seconds == 10


async def test_a_call_reports_within_its_grant_and_lapses_at_twice_that(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))

    answer = await ledger.reserve(ask("call-1", 1, by_the_second(), want=60))

    assert answer.report_by_ms == answer.decide_time_ms + (180 + 60) * 1_000
    assert answer.expire_time_ms == answer.decide_time_ms + 2 * (180 + 60) * 1_000
