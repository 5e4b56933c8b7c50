"""Ends of calls that are told again when the ledger has forgotten them: nothing is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from keepers import House, drained, fresh_archive, sqlite_url
from server.archive import SoughtCall
from server.archive.keeper.doctor import Doctor
from server.ledger.keys import every_key_of, partition_of
from server.ledger.partition_audit import Auditor
from server.storage.sql.errors import ArchiveUnavailable
from server.transport import TransportName
from switchboards import (
    Served,
    Switchboard,
    adele,
    authorize,
    extend,
    failure,
    settle,
    switchboard,
)

MINUTE = 100_000
DAY_SECONDS = 86_400


@pytest.fixture
def transport() -> TransportName:
    """Whatever carries it: one is enough."""
    return "nghttp2"


@pytest.fixture
async def board(url: str, tmp_path: Path) -> AsyncIterator[Switchboard]:
    """Contoso with 6.00, on an archive of its own: adele calls at 0.10 a minute."""
    archive = await fresh_archive(sqlite_url(tmp_path))
    async with switchboard(url, adele(), charge_unknown_calls=True) as board:
        board.real_archive = archive
        await board.open(6_000_000)
        yield board
    await archive.close()


def house(board: Switchboard) -> House:
    assert board.real_archive is not None
    return House(board.store, board.real_archive, board.clock)


async def forget_calls(board: Switchboard) -> None:
    """Archive all that waits, then drop every record of a call, as a quarter of an hour does."""
    await drained(house(board))
    for key in await board.store.command("KEYS", every_key_of(partition_of("contoso"))):
        if b":call:" in key or b":other:" in key:
            await board.store.command("DEL", key)


async def lose_the_store(board: Switchboard) -> None:
    keeper = await drained(house(board))
    await board.store.command("FLUSHALL")
    await keeper.drain()


Lose = Callable[[Switchboard], Awaitable[None]]
LOSSES = pytest.mark.parametrize("lose", [forget_calls, lose_the_store], ids=["lapsed", "emptied"])


async def in_order(board: Switchboard) -> None:
    """See that ledger, archive and usage records tell the same."""
    whole = house(board)
    await drained(whole)
    assert await Doctor(Auditor(board.store), whole.parts).examine() == []
    records = await whole.archive.usage("contoso", from_ms=0, to_ms=2**53)
    _, _, debited = await board.money()
    assert sum(record["charge_micros"] for record in records) == debited


def announced(
    call: pb.AuthorizeCallRequest, sequence: int, used: int, decision_id: str = ""
) -> pb.AuthorizeCallRequest:
    again = pb.AuthorizeCallRequest()
    again.CopyFrom(call)
    again.sequence = sequence
    again.running_call.used_duration.CopyFrom(Duration(seconds=used))
    again.running_call.decision_id = decision_id
    return again


@LOSSES
async def test_an_end_told_again_is_answered_as_before_and_charged_once(
    board: Switchboard, engine: Served, lose: Lose
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    first = await engine.raw("SettleCall", settle(call, 2, 120))
    await lose(board)

    again = await engine.raw("SettleCall", settle(call, 2, 120))

    assert again == first
    assert (await board.money())[2] == 2 * MINUTE
    later = await failure(engine.stub.SettleCall(settle(call, 3, 120)))
    other = await failure(engine.stub.SettleCall(settle(call, 2, 121)))
    more = await failure(engine.stub.ExtendCall(extend(call, 3, 130)))
    assert later == ("NOT_FOUND", "CALL_ENDED", {"state": "settled"})
    assert other[:2] == ("ALREADY_EXISTS", "REQUEST_REUSED")
    assert more == ("NOT_FOUND", "CALL_ENDED", {"state": "settled"})
    await in_order(board)


@LOSSES
@pytest.mark.parametrize("by_decision", [True, False], ids=["by its decision", "by its id"])
async def test_an_ended_call_that_is_announced_pays_nothing_more(
    board: Switchboard, engine: Served, lose: Lose, by_decision: bool
) -> None:
    call = authorize(seconds=60)
    await engine.stub.AuthorizeCall(call)
    went_on = await engine.stub.ExtendCall(extend(call, 2, 60, more=60))
    await engine.stub.SettleCall(settle(call, 3, 120))
    await lose(board)

    decision_id = went_on.decision_id if by_decision else ""
    await engine.stub.AuthorizeCall(announced(call, 4, 120, decision_id))
    settled = await engine.stub.SettleCall(settle(call, 5, 120))

    assert [usage.debited.micros for usage in settled.usages] == [2 * MINUTE]
    assert await board.money() == (5_800_000, 0, 2 * MINUTE)
    await in_order(board)


async def test_a_client_that_tells_an_end_for_days_pays_it_once(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=300)
    granted = await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(call, 2, 120))
    decision_id, sequence = granted.decision_id, 2

    for _ in range(4):
        await forget_calls(board)
        board.clock.pass_seconds(20 * DAY_SECONDS)
        announcement = announced(call, sequence + 1, 120, decision_id)
        decision_id = (await engine.stub.AuthorizeCall(announcement)).decision_id
        sequence += 2
        await engine.stub.SettleCall(settle(call, sequence, 120))

    assert (await board.money())[2] == 2 * MINUTE
    await in_order(board)


async def test_a_call_that_goes_on_after_each_loss_pays_each_second_once(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=60)
    first = (await engine.stub.AuthorizeCall(call)).decision_id
    for turn in range(1, 4):
        await lose_the_store(board)
        # The gateway never takes note of a later decision.
        await engine.stub.AuthorizeCall(announced(call, 2 * turn, 60 * turn, first))
    await engine.stub.SettleCall(settle(call, 7, 200))

    assert (await board.money())[2] == 4 * MINUTE
    await in_order(board)


async def test_a_refusal_that_is_remembered_hides_nothing_of_what_was_paid(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=300)
    granted = await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(call, 2, 120))
    await lose_the_store(board)
    await board.ledger.freeze("contoso", frozen=True)
    again = pb.AuthorizeCallRequest()
    again.CopyFrom(call)
    again.sequence = 3
    assert (await engine.stub.AuthorizeCall(again)).HasField("refusal")
    await board.ledger.freeze("contoso", frozen=False)

    await engine.stub.AuthorizeCall(announced(call, 4, 120, granted.decision_id))
    await engine.stub.SettleCall(settle(call, 5, 120))

    assert (await board.money())[2] == 2 * MINUTE
    await in_order(board)


async def test_legs_that_are_announced_pay_nothing_more(board: Switchboard, engine: Served) -> None:
    call, new = authorize(seconds=300), authorize(seconds=60)
    granted = await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(call, 2, 120))
    await forget_calls(board)

    legs = [announced(call, 3, 120, granted.decision_id), new]
    mode = pb.LEG_MODE_AS_MANY_AS_FIT
    told = await engine.stub.AuthorizeCalls(pb.AuthorizeCallsRequest(legs=legs, mode=mode))

    assert [answer.WhichOneof("outcome") for answer in told.answers] == ["grant", "grant"]
    assert (await board.money())[2] == 2 * MINUTE
    await engine.stub.SettleCall(settle(call, 4, 120))
    await engine.stub.ReleaseCall(
        pb.ReleaseCallRequest(
            tenant_id="contoso", gateway_id=new.gateway_id, call_id=new.call_id, sequence=2
        )
    )
    await in_order(board)


@LOSSES
async def test_an_unknown_call_that_was_charged_is_charged_once(
    board: Switchboard, engine: Served, lose: Lose
) -> None:
    what = authorize(tenant_id="", gateway_id="", call_id="", sequence=0)
    report = settle(authorize(), 1, 90, unknown_call=what)
    first = await engine.raw("SettleCall", report)
    await lose(board)

    assert await engine.raw("SettleCall", report) == first
    assert (await board.money())[2] == 2 * MINUTE
    await in_order(board)


@LOSSES
async def test_a_release_told_again_is_answered_as_before(
    board: Switchboard, engine: Served, lose: Lose
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    report = pb.ReleaseCallRequest(
        tenant_id="contoso", gateway_id=call.gateway_id, call_id=call.call_id, sequence=2
    )
    first = await engine.raw("ReleaseCall", report)
    await lose(board)

    assert await engine.raw("ReleaseCall", report) == first
    ended = await failure(engine.stub.SettleCall(settle(call, 3, 10)))
    assert ended == ("NOT_FOUND", "CALL_ENDED", {"state": "released"})
    await in_order(board)


async def test_a_call_id_that_is_used_again_after_its_days_is_another_call(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.SettleCall(settle(call, 2, 120))
    await forget_calls(board)
    board.clock.pass_seconds(31 * DAY_SECONDS)

    await engine.stub.AuthorizeCall(announced(call, 3, 120))
    await engine.stub.SettleCall(settle(call, 4, 120))

    assert (await board.money())[2] == 4 * MINUTE
    await in_order(board)


async def crash(board: Switchboard) -> None:
    """Let the gateway be away until its reservation has lapsed, and the record of it as well."""
    board.clock.pass_seconds(3_600)
    await board.expire()
    await forget_calls(board)


def anew(call: pb.AuthorizeCallRequest, sequence: int) -> pb.AuthorizeCallRequest:
    again = pb.AuthorizeCallRequest()
    again.CopyFrom(call)
    again.sequence = sequence
    return again


@pytest.mark.parametrize("lose", [crash, lose_the_store], ids=["lapsed", "emptied"])
@pytest.mark.parametrize("way", ["alone", "as a leg", "on a stream"])
async def test_a_call_asked_anew_when_it_is_forgotten_goes_on_from_what_it_paid(
    board: Switchboard, engine: Served, lose: Lose, way: str
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 120))
    await lose(board)

    again = anew(call, 3)
    if way == "alone":
        granted = await engine.stub.AuthorizeCall(again)
    elif way == "as a leg":
        legs = pb.AuthorizeCallsRequest(legs=[again], mode=pb.LEG_MODE_AS_MANY_AS_FIT)
        (granted,) = (await engine.stub.AuthorizeCalls(legs)).answers
    else:
        bridge = await engine.bridge("contoso")
        granted = (await bridge.ask(again))[0].authorize_call
    settled = await engine.stub.SettleCall(settle(call, 4, 200))

    assert granted.grant.granted_duration.seconds >= 180
    assert [usage.debited.micros for usage in settled.usages] == [4 * MINUTE]
    assert (await board.money())[2] == 4 * MINUTE
    await in_order(board)


@pytest.mark.parametrize("settles", [True, False], ids=["settled", "never talked"])
async def test_a_call_id_of_a_call_that_was_settled_makes_room_when_it_is_forgotten(
    board: Switchboard, engine: Served, settles: bool
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    if settles:
        await engine.stub.SettleCall(settle(call, 2, 120))
    await crash(board)

    await engine.stub.AuthorizeCall(anew(call, 3))
    await engine.stub.SettleCall(settle(call, 4, 60))

    assert (await board.money())[2] == (3 if settles else 1) * MINUTE
    await in_order(board)


async def test_what_the_store_says_of_an_end_counts_and_not_an_archive_that_lags(
    board: Switchboard, engine: Served
) -> None:
    call = authorize(seconds=300)
    await engine.stub.AuthorizeCall(call)
    await engine.stub.ExtendCall(extend(call, 2, 120))
    await drained(house(board))
    await engine.stub.SettleCall(settle(call, 3, 130))

    await engine.stub.AuthorizeCall(anew(call, 4))
    await engine.stub.SettleCall(settle(call, 5, 60))

    assert (await board.money())[2] == 4 * MINUTE
    await in_order(board)


@pytest.mark.parametrize("is_slow", [False, True], ids=["away", "slow"])
async def test_a_call_asked_anew_is_answered_without_the_archive(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    async def silent(_: SoughtCall) -> None:
        if not is_slow:
            raise ArchiveUnavailable("away")
        await asyncio.Event().wait()

    assert board.real_archive is not None
    monkeypatch.setattr(board.real_archive, "find_call", silent)
    async with board.serve("nghttp2") as engine:
        answer = await engine.stub.AuthorizeCall(authorize(sequence=2))

    assert answer.HasField("grant")


async def test_a_decision_of_another_call_hides_nothing(board: Switchboard, engine: Served) -> None:
    paid, free = authorize(seconds=300), authorize(seconds=300)
    granted = await engine.stub.AuthorizeCall(paid)
    await engine.stub.SettleCall(settle(paid, 2, 120))
    await forget_calls(board)

    await engine.stub.AuthorizeCall(announced(free, 1, 120, granted.decision_id))

    assert (await board.money())[2] == 2 * MINUTE + 2 * MINUTE
