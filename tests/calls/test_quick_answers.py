"""The quick way answers as the long way does, to the last byte, and leaves the rest to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callgate.v1 import authorization_pb2 as pb
from facts import a_resource_account, a_tenant, a_user
from server.calls.decision_record import DecisionRecord
from switchboards import Served, Switchboard, authorize, failure, switchboard

PEOPLE = (
    a_user("adele", "MCOEV", "MCOPSTN_PAYG_2", "MCOPSTNPP"),
    a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP"),
    a_user("planless", "MCOPSTN1"),
    a_user("shared", "MCOEV", shared_calling_account_id="bank"),
    a_user("counted", "MCOEV", "MCOPSTN1", "MCOPSTNPP", concurrent_calls_limit=1),
    a_user("capped", "MCOEV", "MCOPSTN_PAYG_2", "MCOPSTNPP", spend_limit_micros=150_000),
    a_resource_account("bank", "PHONESYSTEM_VIRTUALUSER", "MCOPSTN1", "MCOPSTNPP"),
)
QUESTIONS: list[dict[str, Any]] = [
    {"user_id": user, "called_number": number, **more}
    for user in ("adele", "anna", "planless", "shared", "counted", "capped")
    for number in ("+390612345678", "+14255550123", "+442071234567", "00390612345678")
    for more in ({}, {"calling_number": "+14255550177", "location": "IT"})
]


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    async with switchboard(url, a_tenant(*PEOPLE)) as board:
        await board.open(6_000_000)
        yield board


@pytest.fixture
async def engine(board: Switchboard) -> AsyncIterator[Served]:
    async with board.serve("nghttp2") as served:
        yield served


def records(engine: Served) -> list[tuple[type, dict[str, Any]]]:
    """Take the records that wait, each with what it is kept as."""
    kept = engine.verbs.authorizer.records
    taken = [kept._oldest() for _ in range(kept.waiting)]
    return [(type(one), json.loads(kept._line(one))) for one in taken]


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: " ".join(map(str, asked.values())))
async def test_asked_again_the_long_way_an_answer_is_the_same_to_the_last_byte(
    engine: Served, asked: dict[str, Any]
) -> None:
    for _ in range(2):
        request = authorize(**asked)

        quickly = await engine.raw("AuthorizeCall", request)
        again = await engine.raw("AuthorizeCall", request)

        assert quickly == again
        (_, first), (long, second) = records(engine)
        assert long is DecisionRecord
        assert (first.pop("repeated"), second.pop("repeated")) == (False, True)
        assert first.pop("duration_us") >= 0 <= second.pop("duration_us")
        assert list(first.items()) == list(second.items())


@pytest.mark.parametrize("user_id", ["adele", "anna", "planless", "shared"])
async def test_what_is_usual_is_answered_the_quick_way(engine: Served, user_id: str) -> None:
    await engine.stub.AuthorizeCall(authorize(user_id=user_id))

    ((kept_as, _),) = records(engine)

    assert kept_as is not DecisionRecord


async def test_the_last_money_and_what_it_does_not_pay_are_told_as_ever(
    board: Switchboard, engine: Served
) -> None:
    answers = [await engine.stub.AuthorizeCall(authorize(seconds=600)) for _ in range(40)]

    told = [record for _, record in records(engine)]

    assert [answer.WhichOneof("outcome") for answer in answers].count("refusal") > 0
    assert len({answer.grant.granted_duration.seconds for answer in answers}) > 2
    assert not any(record["repeated"] for record in told)
    available, reserved, _ = await board.money()
    assert (available, reserved) == (0, 6_000_000)


async def test_facts_that_the_ledger_has_newer_are_never_decided_by(
    board: Switchboard, engine: Served
) -> None:
    request = authorize(user_id="anna")
    before = await engine.stub.AuthorizeCall(request)
    old = board.facts.current.directory.tenants["contoso"]
    await board.change(frozen=True)
    new = board.facts.current.directory.tenants["contoso"]
    # The process has not read the new facts yet.
    board.facts.current.directory.put(old)

    answer = failure(engine.stub.AuthorizeCall(authorize(user_id="anna"), timeout=1.5))
    stale, *_ = await answer
    board.facts.current.directory.put(new)
    after = await engine.stub.AuthorizeCall(authorize(user_id="anna"))

    assert before.HasField("grant")
    assert stale == "UNAVAILABLE"
    assert after.refusal.reason == pb.REASON_ACCOUNT_FROZEN


async def test_a_ledger_that_is_silent_is_told_in_time(board: Switchboard, engine: Served) -> None:
    await engine.stub.AuthorizeCall(authorize())
    await board.store.command("CLIENT", "PAUSE", 700, "ALL")

    status, reason, _ = await failure(engine.stub.AuthorizeCall(authorize(), timeout=0.3))

    # On a busy machine the caller may give up in the moment in which it is told.
    assert (status, reason) in {("UNAVAILABLE", "LEDGER_UNAVAILABLE"), ("DEADLINE_EXCEEDED", "")}


async def test_a_call_id_of_another_gateway_is_refused_as_ever(engine: Served) -> None:
    request = authorize()
    await engine.stub.AuthorizeCall(request)
    request.gateway_id = "another"

    quickly = await engine.raw("AuthorizeCall", request)
    again = await engine.raw("AuthorizeCall", request)

    assert pb.AuthorizeCallResponse.FromString(quickly).refusal.reason == pb.REASON_CALL_ID_IN_USE
    assert quickly == again


async def test_the_same_sequence_with_another_number_is_a_mistake_as_ever(engine: Served) -> None:
    request = authorize()
    await engine.stub.AuthorizeCall(request)
    request.called_number = "+390612345679"

    status, reason, _ = await failure(engine.stub.AuthorizeCall(request))

    assert (status, reason) == ("ALREADY_EXISTS", "REQUEST_REUSED")


async def test_a_full_journal_takes_no_metered_call_the_quick_way(
    board: Switchboard, engine: Served
) -> None:
    board.full.add("contoso")

    status, *_ = await failure(engine.stub.AuthorizeCall(authorize()))

    assert status == "UNAVAILABLE"
