"""What a client leaves behind: its calls are ended a few a turn, and nothing of them is kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from raw_http2 import DUPLEX, RstStreamFrame, connected, framed, request_fields
from server.transport import arrivals, deadlines, live, turns
from server.transport.arrivals import Arrivals
from server.transport.connection import Connection
from server.transport.deadlines import Deadlines
from server.transport.stream import Stream
from serving import Served, eventually

CANCEL = 8
LEFT, FEW = 60, 5


@pytest.fixture
def transport() -> Any:
    """These are promises of the fast transport alone."""
    return "nghttp2"


class Late:
    """A call that is over as soon as somebody looks."""

    def __init__(self, turns: Turns) -> None:
        self.deadline: float | None = 0.0
        self.looks = 100
        self._turns = turns

    @property
    def is_incomplete(self) -> bool:
        return self.deadline is not None

    def expire(self) -> None:
        self.deadline = None
        self._turns.now += 1

    give_up = expire


class Turns:
    """How many calls were ended in each turn of the loop."""

    def __init__(self) -> None:
        self.now = 0
        self.seen: list[int] = []

    def turn(self) -> None:
        self.seen.append(self.now)
        self.now = 0
        self._next = asyncio.get_running_loop().call_soon(self.turn)

    def stop(self) -> None:
        self._next.cancel()


@contextmanager
def watched_turns() -> Iterator[Turns]:
    watched = Turns()
    watched.turn()
    try:
        yield watched
    finally:
        watched.stop()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    with pytest.MonkeyPatch.context() as patch:
        watched = Turns()
        stop_servicer = Stream._stop_servicer

        def counting(stream: Stream) -> None:
            watched.now += 1
            stop_servicer(stream)

        patch.setattr(Stream, "_stop_servicer", counting)
        yield watched


async def running(served: Served, count: int) -> None:
    await eventually(lambda: len(served.servicer.contexts) == count)


async def test_the_calls_of_a_lost_connection_are_ended_a_few_a_turn(
    served: Served, ended: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TURN_ENDINGS", FEW)
    async with connected(served.port) as raw:
        for stream_id in range(1, 2 * LEFT, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
        await running(served, LEFT)
        ended.turn()
    await eventually(lambda: sum(ended.seen) == LEFT)
    ended.stop()

    assert max(ended.seen) == FEW


async def test_calls_that_are_reset_together_are_ended_a_few_a_turn(
    served: Served, ended: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(served.port) as raw:
        for stream_id in range(1, 2 * LEFT, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
        await running(served, LEFT)
        monkeypatch.setattr(turns, "LINE_SECONDS", 0)
        served.inner._turns.calls = FEW  # type: ignore[attr-defined] # What a busy loop makes of it.
        monkeypatch.setattr(turns, "TURN_CALLS", FEW)
        ended.turn()
        resets = [RstStreamFrame(number, CANCEL) for number in range(1, 2 * LEFT, 2)]
        raw.send_raw(b"".join(frame.serialize() for frame in resets))
        await eventually(lambda: sum(ended.seen) == LEFT)
        ended.stop()

        assert max(ended.seen) <= 2 * FEW


async def test_calls_that_are_late_together_are_ended_a_few_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "TURN_EXPIRIES", FEW)
    monkeypatch.setattr(arrivals, "TURN_ENDINGS", FEW)
    loop = asyncio.get_running_loop()
    with watched_turns() as watched:
        calls = {number: Late(watched) for number in range(LEFT)}
        Deadlines(loop, calls).watch(0.0)
        await eventually(lambda: sum(watched.seen) == LEFT)
        assert max(watched.seen) == FEW

        incomplete = {number: Late(watched) for number in range(LEFT)}
        looking = Arrivals(loop, incomplete, 60.0)
        looking._look()
        looking.stop()
        await eventually(lambda: sum(watched.seen) == 2 * LEFT)
        assert max(watched.seen) == FEW


async def test_what_a_client_left_is_free_without_the_collector(served: Served) -> None:
    gc.collect()
    gc.disable()
    try:
        async with connected(served.port) as raw:
            for stream_id in range(1, 2 * LEFT, 2):
                raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
            await running(served, LEFT)
            raw.send(RstStreamFrame(1, CANCEL))
            kept = [weakref.ref(one) for one in served.servicer.contexts]
            kept += [weakref.ref(one) for one in gc.get_objects() if isinstance(one, Connection)]
        served.servicer.contexts.clear()
        while not served.servicer.endings.empty():
            served.servicer.endings.get_nowait()

        await eventually(lambda: not [one for one in kept if one() is not None])
    finally:
        gc.enable()


async def test_who_answers_early_sees_that_a_client_does_not_read(served: Served) -> None:
    seen: list[bool] = []

    def early(offered: Any) -> bool:
        seen.append(offered.is_behind)
        if not offered.is_behind:
            offered.answer(bytes(100_000))
        return True

    served.inner.offer_first("grpc.testing.TestService", "EmptyCall", early)
    path = request_fields("/grpc.testing.TestService/EmptyCall")
    async with connected(served.port, settings={4: 0}) as raw:
        await raw.settle()
        for stream_id in range(1, 41, 2):
            raw.call(stream_id, path, framed(b""))
            await eventually(lambda asked=stream_id // 2 + 1: len(seen) == asked)

    assert seen == sorted(seen)
    assert 10 <= seen.count(False) <= 12
