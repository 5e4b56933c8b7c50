"""A bridge's stream from its own side: what shares a message, what is asked again, what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callgate.client.stream import MAX_ITEMS_A_MESSAGE, ItemLine
from callgate.errors import CallUnknown, NoAnswer
from callgate.v1 import authorization_pb2 as pb
from gateway_desk import settled

HELLO = pb.ControlHello(gateway_id="bridge-1", tenant_ids=["contoso"])


class Wire:
    """A stream whose messages are taken when the test says so."""

    def __init__(self) -> None:
        self.written: list[pb.ControlCallsRequest] = []
        self.free = asyncio.Event()
        self.free.set()
        self._items: asyncio.Queue[list[pb.ControlItem] | None] = asyncio.Queue()

    async def write(self, message: pb.ControlCallsRequest) -> None:
        self.written.append(message)
        await self.free.wait()

    def cancel(self) -> None:
        self._items.put_nowait(None)

    def say(self, *items: pb.ControlItem) -> None:
        self._items.put_nowait(list(items))

    def sizes(self) -> list[int]:
        """How many questions each message after the hello had."""
        return [len(message.questions) for message in self.written[1:]]

    def __aiter__(self) -> AsyncIterator[pb.ControlCallsResponse]:
        return self._responses()

    async def _responses(self) -> AsyncIterator[pb.ControlCallsResponse]:
        while (items := await self._items.get()) is not None:
            yield pb.ControlCallsResponse(items=items)


def a_line(pushes: list[pb.ControlItem] | None = None) -> ItemLine:
    return ItemLine(HELLO, (pushes if pushes is not None else []).append)


def asking(line: ItemLine, count: int, seconds: float = 5.0) -> list[asyncio.Task[Any]]:
    """Ask some questions at once."""
    release = pb.ReleaseCallRequest(tenant_id="contoso", call_id="call-1", sequence=2)
    return [asyncio.create_task(line.ask(seconds, release_call=release)) for _ in range(count)]


async def used(line: ItemLine, wire: Wire) -> asyncio.Task[None]:
    using = asyncio.create_task(line.use(wire, lambda: None))
    await settled()
    return using


async def ended(using: asyncio.Task[None], *asked: asyncio.Task[Any]) -> None:
    for task in (using, *asked):
        task.cancel()
    await asyncio.gather(using, *asked, return_exceptions=True)


async def test_a_question_on_an_idle_stream_is_written_at_once_and_alone() -> None:
    wire, line = Wire(), a_line()
    using = await used(line, wire)

    asked = asking(line, 1)
    await settled()

    assert wire.written[0].hello == HELLO
    assert wire.sizes() == [1]
    await ended(using, *asked)


async def test_questions_that_wait_for_a_write_share_messages() -> None:
    wire, line = Wire(), a_line()
    using = await used(line, wire)
    wire.free.clear()
    first = asking(line, 1)
    await settled()

    later = asking(line, 400)
    await settled()
    wire.free.set()
    await settled()

    assert wire.sizes() == [1, MAX_ITEMS_A_MESSAGE, 400 - MAX_ITEMS_A_MESSAGE]
    await ended(using, *first, *later)


async def test_answers_find_their_questions_in_any_order_and_pushes_go_elsewhere() -> None:
    pushes: list[pb.ControlItem] = []
    wire, line = Wire(), a_line(pushes)
    using = await used(line, wire)
    one, other = asking(line, 2)
    await settled()

    push = pb.ControlItem(end=pb.EndOrder(call_id="call-1"))
    lost = pb.ControlError(code=5, reason="CALL_UNKNOWN")
    wire.say(
        pb.ControlItem(item_id=2, error=lost),
        push,
        pb.ControlItem(item_id=1, release_call=pb.ReleaseCallResponse(decision_id="d")),
    )

    assert (await one).release_call.decision_id == "d"
    with pytest.raises(CallUnknown):
        await other
    assert pushes == [push]
    await ended(using)


async def test_what_one_stream_left_unanswered_is_asked_on_the_next_one_and_nothing_else() -> None:
    first, second, line = Wire(), Wire(), a_line()
    using = await used(line, first)
    answered, given_up, waiting = asking(line, 3)
    await settled()
    first.say(pb.ControlItem(item_id=1, release_call=pb.ReleaseCallResponse()))
    await answered
    given_up.cancel()
    await settled()
    await ended(using)

    using = await used(line, second)

    assert [one.item_id for one in second.written[1].questions] == [3]
    second.say(pb.ControlItem(item_id=3, release_call=pb.ReleaseCallResponse()))
    await waiting
    await ended(using, given_up)


async def test_a_question_that_is_not_answered_in_time_may_be_asked_again() -> None:
    line = a_line()

    with pytest.raises(NoAnswer) as silence:
        await line.ask(0.01, release_call=pb.ReleaseCallRequest())

    assert silence.value.is_retryable
