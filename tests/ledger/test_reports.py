"""Reports that only tell, calls that are looked at, and releases: on every ledger."""

from __future__ import annotations

import pytest

from ledgers import UnderTest, a_question, an_account, ask, by_the_second, extend
from server.ledger import CallAnswered, CallKey, CallUnknown, Ledger, RequestReused

CALL = CallKey("contoso", "sbc-1", "call-1")


async def test_a_mere_report_at_the_end_of_a_grant_is_no_refusal(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))

    answer = await ledger.extend(extend("call-1", 2, 30, want=0))

    assert answer.reason is None
    assert (answer.state, answer.segments, answer.used_seconds) == ("live", (), 30)
    assert (await ledger.read_balance("contoso")).reserved_micros == 0


async def test_a_mere_report_takes_nothing_more(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))

    answer = await ledger.extend(extend("call-1", 2, 10, want=0))

    assert answer.granted_seconds == 30
    balance = await ledger.read_balance("contoso")
    assert (balance.reserved_micros, balance.debited_micros) == (20, 10)


async def test_after_a_mere_report_a_call_can_go_on(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    await ledger.extend(extend("call-1", 2, 30, want=0))

    answer = await ledger.extend(extend("call-1", 3, 35, want=20))

    assert answer.granted_seconds == 55
    assert answer.overrun_seconds == 5


async def test_a_look_changes_nothing(under_test: UnderTest) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000))
    granted = await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    before = await ledger.read_balance("contoso")

    looked = await ledger.look(CALL)

    assert looked.superseded
    assert (looked.decision_id, looked.segments) == (granted.decision_id, granted.segments)
    assert await ledger.read_balance("contoso") == before
    assert (await ledger.extend(extend("call-1", 2, 5))).reason is None


async def test_nothing_is_seen_of_a_call_that_is_not_there(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))

    with pytest.raises(CallUnknown):
        await ledger.look(CALL)


async def test_a_look_sees_that_a_call_is_over(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    await ledger.settle(a_question("call-1", 2), 7)

    looked = await ledger.look(CALL)

    assert (looked.state, looked.used_seconds) == ("settled", 7)


async def test_a_release_tells_what_it_gave_back_also_when_repeated(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    question = a_question("call-1", 2)

    first = await ledger.release(question)

    assert [segment.held_micros for segment in first.segments] == [30]
    assert await ledger.release(question) == first
    assert (await ledger.read_balance("contoso")).available_micros == 1_000


async def test_a_call_with_use_reported_is_not_released(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    await ledger.extend(extend("call-1", 2, 10))

    with pytest.raises(CallAnswered):
        await ledger.release(a_question("call-1", 3))

    balance = await ledger.read_balance("contoso")
    assert (balance.debited_micros, balance.reserved_micros) == (10, 60)


async def test_a_released_call_id_can_be_used_for_a_new_call(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    await ledger.release(a_question("call-1", 2))

    again = await ledger.reserve(ask("call-1", 3, by_the_second(), want=40))

    assert again.granted_seconds == 40
    assert (await ledger.read_balance("contoso")).reserved_micros == 40


async def test_a_report_and_a_release_of_one_sequence_are_a_conflict(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second(), want=30))
    await ledger.settle(a_question("call-1", 2, content="settle 0"), 0)

    with pytest.raises(RequestReused):
        await ledger.release(a_question("call-1", 2, content="release"))
