"""A call that goes on stays one call, whichever purses pay it by now: use is cumulative."""

from __future__ import annotations

import pytest

from ledgers import UnderTest, a_question, a_rate, an_account, ask, credits_, extend, pool
from policy.decision import Purse
from policy.reasons import Reason
from server.ledger import PAYING, ExtendRequest, Ledger, TopUp
from server.ledger.keys import partition_of

MINUTE = 100_000
DEARER = credits_(a_rate(per_minute=2 * MINUTE))
TO_ROME = f"2|user|adele|+3906|user_out|IT{PAYING}"
TO_BERLIN = f"2|user|adele|+4930|user_out|DE{PAYING}"


def extend_by(sequence: int, used: int, *purses: Purse, want: int = 60) -> ExtendRequest:
    return extend("call", sequence, used, want=want)._replace(purses=purses, context=PAYING)


async def debited(ledger: Ledger) -> int:
    return (await ledger.read_balance("contoso")).debited_micros


@pytest.mark.parametrize("lapses", [False, True], ids=["while it runs", "after it lapsed"])
@pytest.mark.parametrize("changed", [credits_(), credits_(overdraft=5)], ids=["same", "changed"])
async def test_a_call_asked_anew_is_charged_once(
    under_test: UnderTest, lapses: bool, changed: Purse
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, want=120))
    await ledger.extend(extend("call", 2, 120, want=60))
    if lapses:
        under_test.clock.pass_seconds(3_600)
        await ledger.expire(partition_of("contoso"), 10)

    anew = await ledger.reserve(ask("call", 3, changed, want=60))
    settled = await ledger.settle(a_question("call", 4), 180)

    assert (anew.granted_seconds, anew.used_seconds, anew.late) == (180, 120, False)
    assert [(use.seconds, use.micros) for use in settled.uses] == [(180, 3 * MINUTE)]
    assert await debited(ledger) == 3 * MINUTE


async def test_a_call_that_ran_out_of_money_goes_on_where_it_was_after_a_top_up(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(2 * MINUTE))
    await ledger.reserve(ask("call", 1, want=120))
    refused = await ledger.extend(extend("call", 2, 120))
    await ledger.top_up(TopUp("contoso", "lot-1", 10 * MINUTE, under_test.clock.time_ms * 2))

    anew = await ledger.reserve(ask("call", 3, want=60))
    settled = await ledger.settle(a_question("call", 4), 180)

    assert refused.reason is Reason.CREDITS_EXHAUSTED
    assert anew.granted_seconds == 180
    assert [(use.seconds, use.micros) for use in settled.uses] == [(180, 3 * MINUTE)]
    assert await debited(ledger) == 3 * MINUTE


async def test_a_call_asked_anew_before_it_talked_is_paid_by_what_is_asked_now(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, want=60))

    await ledger.reserve(ask("call", 2, DEARER, want=60))
    settled = await ledger.settle(a_question("call", 3), 30)

    assert [(use.seconds, use.micros) for use in settled.uses] == [(30, 2 * MINUTE)]


@pytest.mark.parametrize("verb", ["asked anew", "announced", "extended"])
async def test_the_rate_of_the_beginning_stays_and_increments_do_not_begin_again(
    ledger: Ledger, verb: str
) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, want=60)._replace(context=TO_ROME))
    await ledger.extend(extend("call", 2, 30, want=0))

    anew = ask("call", 3, DEARER, want=90)._replace(context=TO_ROME)
    if verb == "extended":
        await ledger.extend(extend_by(3, 30, DEARER))
    else:
        await ledger.reserve(anew._replace(used_seconds=30 if verb == "announced" else 0))
    settled = await ledger.settle(a_question("call", 4), 90)

    assert [(use.seconds, use.micros) for use in settled.uses] == [(90, 2 * MINUTE)]
    assert await debited(ledger) == 2 * MINUTE


async def test_a_call_that_leads_elsewhere_is_rated_anew_from_there_on(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, want=60)._replace(context=TO_ROME))
    await ledger.extend(extend("call", 2, 60, want=0))

    await ledger.reserve(ask("call", 3, DEARER, want=60)._replace(context=TO_BERLIN))
    settled = await ledger.settle(a_question("call", 4), 120)

    assert [(use.seconds, use.micros) for use in settled.uses] == [(120, 3 * MINUTE)]
    assert await debited(ledger) == 3 * MINUTE


@pytest.mark.parametrize("size", [450, 900])
@pytest.mark.parametrize("month", ["2027-01", "2027-02"])
async def test_a_pool_of_another_size_is_the_same_pool(
    ledger: Ledger, size: int, month: str
) -> None:
    await ledger.open_account(an_account(0))
    await ledger.reserve(ask("call", 1, pool(600), want=300))
    await ledger.extend(extend("call", 2, 300, want=60))

    today = pool(size)._replace(period=month)
    anew = await ledger.reserve(ask("call", 3, today, want=10_000)._replace(floor_seconds=1))
    settled = await ledger.settle(a_question("call", 4), 400)

    assert anew.granted_seconds == size
    assert [(use.purse_index, use.seconds) for use in settled.uses] == [(0, 400)]


async def test_a_plan_taken_away_pays_no_more_and_what_it_paid_stays_told(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, pool(600), credits_(), want=300))

    extended = await ledger.extend(extend_by(2, 250, credits_()))
    settled = await ledger.settle(a_question("call", 3), 310)
    shared = await ledger.reserve(ask("other", 1, pool(600), want=600))

    assert [segment[:3] for segment in extended.segments] == [(0, 250, 310)]
    assert [use[1:] for use in settled.uses] == [(60, MINUTE), (250, 0)]
    assert shared.granted_seconds == 350
    assert await debited(ledger) == MINUTE


async def test_an_extension_by_a_plan_that_shrank_has_what_is_left_of_it(ledger: Ledger) -> None:
    await ledger.open_account(an_account(0))
    await ledger.reserve(ask("call", 1, pool(1_800), want=600))

    extended = await ledger.extend(extend_by(2, 500, pool(600), want=600))
    refused = await ledger.extend(extend_by(3, 600, pool(600), want=600))

    assert (extended.granted_seconds, extended.final) == (600, True)
    assert refused.reason is Reason.ALLOWANCE_EXHAUSTED


async def test_a_plan_that_came_in_mid_call_pays_from_there_on(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, want=60))

    await ledger.extend(extend_by(2, 60, pool(600), credits_(), want=120))
    settled = await ledger.settle(a_question("call", 3), 180)

    assert [use[1:] for use in settled.uses] == [(120, 0), (60, MINUTE)]
    assert await debited(ledger) == MINUTE


async def test_a_mere_report_leaves_the_grant_as_it_was(ledger: Ledger) -> None:
    await ledger.open_account(an_account(0))
    await ledger.reserve(ask("call", 1, pool(600), want=300))

    reported = await ledger.extend(extend_by(2, 100, pool(150), want=0))

    assert reported.granted_seconds == 300


async def test_an_extension_of_other_terms_is_the_same_when_asked_again(ledger: Ledger) -> None:
    await ledger.open_account(an_account(10 * MINUTE))
    await ledger.reserve(ask("call", 1, pool(600), credits_(), want=300))
    request = extend_by(2, 250, credits_())

    first, again = await ledger.extend(request), await ledger.extend(request)

    assert first == again
