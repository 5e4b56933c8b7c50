"""A call id that another gateway takes over: its first one keeps its answers and pays late."""

from __future__ import annotations

import pytest

from ledgers import UnderTest, a_question, an_account, ask, by_the_second, extend, free
from policy.decision import Reason
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
