"""A call id that another gateway takes over: its first one keeps its answers and pays late."""

from __future__ import annotations

import pytest

from ledgers import UnderTest, a_question, an_account, ask, by_the_second, extend, free
from policy.reasons import Reason
from server.ledger import CallOver, CallUnknown, Ledger
from server.ledger.keys import partition_of

FIRST, SECOND = "sbc-1", "sbc-2"


async def test_a_refusal_is_repeated_after_another_gateway_was_granted_the_id(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(1_000_000))
    question = ask("call-1", 1, refusal=Reason.LICENCE_MISSING, gateway=FIRST)
    refused = await ledger.reserve(question)
    granted = await ledger.reserve(ask("call-1", 1, gateway=SECOND))

    again = await ledger.reserve(ask("call-1", 1, gateway=FIRST))

    assert granted.granted_seconds == 60
    assert again == refused
    assert await ledger.reserve(ask("call-1", 1, gateway=SECOND)) == granted


async def test_a_released_call_is_answered_after_another_gateway_took_its_id(
    ledger: Ledger,
) -> None:
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, gateway=FIRST))
    released = await ledger.release(a_question("call-1", 2, gateway=FIRST))
    granted = await ledger.reserve(ask("call-1", 1, gateway=SECOND))

    again = await ledger.release(a_question("call-1", 2, gateway=FIRST))
    earlier = await ledger.reserve(ask("call-1", 1, gateway=FIRST))

    assert again == released
    assert earlier == released._replace(superseded=True)
    assert await ledger.reserve(ask("call-1", 1, gateway=SECOND)) == granted
    with pytest.raises(CallOver):
        await ledger.settle(a_question("call-1", 3, gateway=FIRST), 10)


async def test_a_lapsed_call_is_paid_late_though_another_gateway_has_its_id(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=FIRST))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=SECOND))

    settled = await ledger.settle(a_question("call-1", 2, gateway=FIRST), 20)
    balance = await ledger.read_balance("contoso")

    assert settled.late
    assert await ledger.settle(a_question("call-1", 2, gateway=FIRST), 20) == settled
    assert (balance.debited_micros, balance.reserved_micros) == (20, 60)
    under_test.clock.pass_seconds(3_600)
    assert await ledger.expire(partition_of("contoso"), 10) == 1


async def test_a_lapsed_call_gets_no_more_while_another_gateway_has_its_id(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=FIRST))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=SECOND))
    request = extend("call-1", 2, 20)

    extended = await ledger.extend(request)
    settled = await ledger.settle(a_question("call-1", 3, gateway=FIRST), 25)
    balance = await ledger.read_balance("contoso")

    assert extended.reason is Reason.CALL_ID_IN_USE
    assert extended.used_seconds == 20
    assert settled.used_seconds == 25
    assert (balance.debited_micros, balance.reserved_micros) == (25, 60)


@pytest.mark.parametrize("talked_before", [0, 20])
async def test_a_refused_question_does_not_do_away_with_what_is_yet_to_be_settled(
    under_test: UnderTest, talked_before: int
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=FIRST))
    await ledger.extend(extend("call-1", 2, talked_before))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=SECOND))

    question = ask("call-1", 3, by_the_second(), gateway=FIRST)
    refused = await ledger.reserve(question)
    settled = await ledger.settle(a_question("call-1", 4, gateway=FIRST), 50)
    balance = await ledger.read_balance("contoso")

    assert refused.reason is Reason.CALL_ID_IN_USE
    assert settled.late
    assert settled.used_seconds == 50
    assert (balance.debited_micros, balance.reserved_micros) == (50, 60)


async def test_a_call_announced_while_another_gateway_has_its_id_is_paid_once(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=FIRST))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)
    await ledger.reserve(ask("call-1", 1, by_the_second(), gateway=SECOND))

    announced = ask("call-1", 2, by_the_second(), gateway=FIRST)._replace(used_seconds=30)
    refused = await ledger.reserve(announced)
    again = await ledger.reserve(announced)
    settled = await ledger.settle(a_question("call-1", 3, gateway=FIRST), 40)
    balance = await ledger.read_balance("contoso")

    assert refused.reason is Reason.CALL_ID_IN_USE
    assert again == refused
    assert settled.used_seconds == 40
    assert (balance.debited_micros, balance.reserved_micros) == (40, 60)


async def test_a_lapsed_call_that_is_refused_more_is_settled_late(under_test: UnderTest) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second()))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)
    await ledger.extend(extend("call-1", 2, 0, refusal=Reason.LICENCE_MISSING))

    settled = await ledger.settle(a_question("call-1", 3), 50)

    assert settled.used_seconds == 50
    assert (await ledger.read_balance("contoso")).debited_micros == 50


async def test_a_call_id_may_go_back_and_forth_between_gateways(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    for turn in range(3):
        for gateway in (FIRST, SECOND):
            granted = await ledger.reserve(ask("call-1", 2 * turn + 1, gateway=gateway))
            assert granted.granted_seconds == 60
            await ledger.release(a_question("call-1", 2 * turn + 2, gateway=gateway))

    balance = await ledger.read_balance("contoso")

    assert balance.reserved_micros == 0
    assert (await ledger.look(a_question("call-1", gateway=FIRST).call)).state == "released"


async def test_several_calls_may_take_over_ids_in_one_step(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    refused = await ledger.reserve(ask("call-2", 1, refusal=Reason.LICENCE_MISSING, gateway=FIRST))
    legs = [ask(f"call-{number}", 1, free(), gateway=SECOND) for number in (1, 2, 3)]

    answers = await ledger.reserve_many(legs, all_or_nothing=True)

    assert [answer.granted_seconds for answer in answers] == [60, 60, 60]
    assert await ledger.reserve(ask("call-2", 1, gateway=FIRST)) == refused
    with pytest.raises(CallUnknown):
        await ledger.release(a_question("call-2", 2, gateway=FIRST))
