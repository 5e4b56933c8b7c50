"""What remains is told of each account as it stands, however reading it falls between entries."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from callgate.v1 import authorization_pb2 as pb
from ledgers import a_decision_id
from policy.reasons import Reason
from server.ledger import CallKey, DirectDebit, TopUp
from server.ledger.estimates import MAX_SECONDS, RoomReader
from server.ledger.journal import Batch, Movement, Place
from server.ledger.journal.entries import JournalReader
from server.ledger.keys import partition_of
from server.ledger.running_calls import CallReader
from server.services.bridge_stream.estimates import ESTIMATE_SECONDS, Estimates
from server.services.bridge_stream.known_calls import RunningCall, RunningCalls
from server.services.bridge_stream.outbox import Outbox
from switchboards import Served, Switchboard, adele, authorize, settle, switchboard

A_DAY_MICROS = 144_000_000


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso with 1.00: ten minutes of adele's."""
    async with switchboard(url, adele()) as board:
        await board.open(1_000_000)
        yield board


@pytest.fixture
async def engine(board: Switchboard) -> AsyncIterator[Served]:
    async with board.serve() as served:
        yield served


class Watch:
    """The estimates of a stream, which hears and looks when the test says so."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self.running, self._outbox = RunningCalls(), Outbox()
        self.ordered: list[tuple[str, Reason]] = []
        self.estimates = Estimates(
            RoomReader(board.store), self.running, self._outbox, order=self._order
        )
        self._heard = 0
        self._now = itertools.count(1.0, ESTIMATE_SECONDS)

    async def hear(self) -> None:
        """Hear of all that happened since the last time."""
        partition = partition_of("contoso")
        entries = await JournalReader(self._board.store).read(partition, from_n=self._heard + 1)
        self._heard = entries[-1].n
        movements = tuple(map(Movement, entries))
        for movement in movements:
            if movement.kind in {"reserved", "extended", "settled"}:
                self.running.move(movement)
        place = Place(partition, entries[-1].epoch, entries[-1].n)
        self.estimates.hear(Batch("contoso", "USD", movements, place, None, followers=1))

    async def look(self) -> dict[str, int]:
        """Look at what is due, and give the estimates that are told."""
        await self.estimates.look(next(self._now))
        self._outbox.close()
        written = b"".join(await self._outbox.take() or ())
        items = pb.ControlCallsResponse.FromString(written).items
        told = [item.estimate for item in items if item.HasField("estimate")]
        return {one.call_id: one.remaining_duration.seconds for one in told}

    async def hear_and_look(self) -> dict[str, int]:
        await self.hear()
        return await self.look()

    def _order(self, call: RunningCall, reason: Reason) -> None:
        self.ordered.append((call.call_id, reason))


@pytest.fixture
async def watch(board: Switchboard) -> Watch:
    return Watch(board)


async def ask(engine: Served, seconds: int = 60) -> pb.AuthorizeCallRequest:
    call = authorize(seconds=seconds)
    await engine.stub.AuthorizeCall(call)
    return call


async def test_what_its_own_grant_left_is_not_told(engine: Served, watch: Watch) -> None:
    await ask(engine)

    assert await watch.hear_and_look() == {}


async def test_what_others_took_between_the_grant_and_the_look_is_told(
    engine: Served, watch: Watch
) -> None:
    first = await ask(engine)
    await ask(engine, 300)

    assert await watch.hear_and_look() == {first.call_id: 360}


async def test_what_the_look_saw_before_it_was_heard_of_is_told_then(
    engine: Served, watch: Watch
) -> None:
    first = await ask(engine)
    await watch.hear()
    second = await ask(engine, 300)
    before = await watch.look()

    told = await watch.hear_and_look()
    await engine.stub.SettleCall(settle(second, 2, 0))
    given_back = await watch.hear_and_look()

    assert before == {}
    assert told == {first.call_id: 360}
    assert given_back == {first.call_id: 540}


async def test_what_an_announced_call_is_left_with_is_told(
    board: Switchboard, engine: Served, watch: Watch
) -> None:
    """Who announces it has missed what others took meanwhile."""
    call = await ask(engine)
    known = await CallReader(board.store).read(CallKey("contoso", "bridge-1", call.call_id))
    watch.running.announce(known)

    assert await watch.look() == {call.call_id: 540}


async def test_money_without_an_end_that_is_taken_and_comes_back_is_told(
    board: Switchboard, engine: Served, watch: Watch
) -> None:
    expire_ms = board.clock.now_ms() + 365 * 24 * 3_600_000
    lot = TopUp("contoso", lot_id=a_decision_id(), micros=2 * A_DAY_MICROS, expire_ms=expire_ms)
    await board.ledger.top_up(lot)
    call = await ask(engine)
    endless = await watch.hear_and_look()

    await board.ledger.debit(DirectDebit("contoso", "most", 2 * A_DAY_MICROS))
    taken = await watch.hear_and_look()
    again = TopUp("contoso", lot_id=a_decision_id(), micros=A_DAY_MICROS, expire_ms=expire_ms)
    await board.ledger.top_up(again)

    assert endless == {}
    assert taken == {call.call_id: 540}
    assert await watch.hear_and_look() == {call.call_id: MAX_SECONDS}


async def test_a_freeze_that_was_not_heard_of_ends_calls_all_the_same(
    board: Switchboard, engine: Served, watch: Watch
) -> None:
    call = await ask(engine)
    await watch.hear_and_look()
    await board.ledger.freeze("contoso", frozen=True)

    watch.estimates.miss("contoso")
    await watch.look()

    assert watch.ordered == [(call.call_id, Reason.ACCOUNT_FROZEN)]
