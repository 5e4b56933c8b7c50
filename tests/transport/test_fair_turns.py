"""What one client sends holds up nobody else: turns, limits on calls and connections, floods."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop import pb
from raw_http2 import (
    DUPLEX,
    UNARY,
    Answer,
    DataFrame,
    PingFrame,
    RawClient,
    RstStreamFrame,
    WindowUpdateFrame,
    connected,
    framed,
    request_fields,
)
from server.transport import TransportOptions, servicers, turns
from server.transport.police import PingPolice
from serving import Served, eventually, serving

CANCEL, CALM = 8, 11
RESOURCE_EXHAUSTED = 8
FLOOD = 1_500


@pytest.fixture
def transport() -> Any:
    """These are promises of the fast transport alone."""
    return "nghttp2"


@contextlib.asynccontextmanager
async def two_clients(served: Served) -> AsyncIterator[tuple[RawClient, RawClient]]:
    async with connected(served.port) as flooding, connected(served.port) as behaving:
        await flooding.settle()
        await behaving.settle()
        yield flooding, behaving


def calls(raw: RawClient, count: int, path: str = UNARY) -> bytes:
    """Many whole requests in one piece."""
    frames: list[Any] = []
    for stream_id in range(1, 2 * count, 2):
        frames += [
            raw.headers(stream_id, request_fields(path)),
            DataFrame(stream_id, framed(b""), flags=["END_STREAM"]),
        ]
    return b"".join(frame.serialize() for frame in frames)


def answered(raw: RawClient) -> int:
    return sum(answer.ended for answer in raw.answers.values())


@pytest.mark.parametrize("path", [UNARY, "/nobody.Serves/This"], ids=["served", "unknown"])
async def test_a_caller_is_answered_while_another_floods(served: Served, path: str) -> None:
    async with two_clients(served) as (flooding, behaving):
        flooding.send_raw(calls(flooding, FLOOD, path))

        answer = await behaving.ask(1, request_fields(), framed(b""))

        assert answer.status == 0
        assert answered(flooding) < FLOOD / 4
        await flooding.until(lambda: answered(flooding) == FLOOD)


async def test_a_caller_is_answered_before_many_who_flood(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        flooding = [await stack.enter_async_context(connected(served.port)) for _ in range(10)]
        behaving = await stack.enter_async_context(connected(served.port))
        await behaving.ask(1, request_fields(), framed(b""))
        for one in flooding:
            one.send_raw(calls(one, 500))
        await eventually(lambda: any(answered(one) for one in flooding))

        await behaving.ask(3, request_fields(), framed(b""))

        assert sum(answered(one) for one in flooding) < 10 * 500 / 2


async def test_frames_are_acted_on_a_turn_at_a_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_CALLS", 1)
    async with two_clients(served) as (flooding, behaving):
        flooding.send_raw(calls(flooding, 200))

        assert (await behaving.ask(1, request_fields(), framed(b""))).status == 0
        await flooding.until(lambda: answered(flooding) == 200)


async def test_whatever_a_message_takes_in_turns_it_arrives_whole(served: Served) -> None:
    body = framed(pb.SimpleRequest(response_size=1, payload=pb.Payload(body=bytes(2_000_000))))
    async with connected(served.port) as raw:
        await raw.settle()
        raw.send(raw.headers(1, request_fields()))
        sent = 0
        while sent < len(body):
            await raw.until(lambda sent=sent: raw.credit.get(1, 0) + 65_536 > sent)
            piece = body[sent : sent + min(16_384, raw.credit.get(1, 0) + 65_536 - sent)]
            raw.send(DataFrame(1, piece))
            sent += len(piece)
        raw.send(DataFrame(1, flags=["END_STREAM"]))

        assert (await raw.answer(1)).status == 0


@pytest.mark.parametrize(
    "idle",
    [
        WindowUpdateFrame(0, window_increment=1),
        DataFrame(1),
        PingFrame(0, b"nobody's", flags=["ACK"]),
    ],
    ids=["window", "empty", "pong"],
)
async def test_a_flood_of_frames_that_carry_nothing_ends_the_connection(
    served: Served, idle: Any
) -> None:
    async with two_clients(served) as (flooding, behaving):
        flooding.send(flooding.headers(1, request_fields(DUPLEX)))

        flooding.send_raw(idle.serialize() * 20_000)
        answer = await behaving.ask(1, request_fields(), framed(b""))
        await flooding.until(lambda: flooding.closed)

        assert answer.status == 0
        assert flooding.goaways[-1].error_code == CALM
        assert flooding.goaways[-1].additional_data == b"too_many_idle_frames"


async def test_windows_that_grow_with_what_was_sent_are_no_flood(served: Served) -> None:
    async with connected(served.port, window_bytes=2**24) as raw:
        request = framed(pb.SimpleRequest(response_size=200))
        for stream_id in range(1, 401, 2):
            await raw.ask(stream_id, request_fields(), request)
            raw.send_raw(WindowUpdateFrame(0, window_increment=1).serialize() * 6)
        await raw.settle()

        assert raw.goaways == []


async def test_a_young_connection_may_reset_little(served: Served) -> None:
    async with two_clients(served) as (flooding, behaving):
        for stream_id in range(1, 6_001, 2):
            flooding.send(flooding.headers(stream_id, request_fields(DUPLEX)))
            flooding.send(RstStreamFrame(stream_id, CANCEL))

        answer = await behaving.ask(1, request_fields(), framed(b""))
        await flooding.until(lambda: flooding.closed)

        assert answer.status == 0
        assert flooding.goaways[-1].additional_data == b"too_many_resets"


async def test_who_was_answered_much_may_reset_as_much(transport: Any) -> None:
    async with (
        serving(transport, young_stream_resets=10, stream_resets_per_second=0) as served,
        connected(served.port) as raw,
    ):
        for stream_id in range(1, 101, 2):
            await raw.ask(stream_id, request_fields(), framed(b""))
        for stream_id in range(101, 201, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
            raw.send(RstStreamFrame(stream_id, CANCEL))

        assert (await raw.ask(201, request_fields(), framed(b""))).status == 0


async def test_more_calls_than_are_taken_are_refused_but_a_few_of_each_connection(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicers, "ALWAYS_TAKEN", 4)
    async with serving(transport, max_calls=10) as served, two_clients(served) as (many, few):
        for stream_id in range(1, 25, 2):
            many.send(many.headers(stream_id, request_fields(DUPLEX)))
        refused = await many.answer(21)

        assert refused.status == RESOURCE_EXHAUSTED
        assert refused.blocks[-1]["grpc-retry-pushback-ms"] == "250"
        assert (await few.ask(1, request_fields(), framed(b""))).status == 0
        many.send(RstStreamFrame(1, CANCEL))
        await asyncio.wait_for(served.servicer.endings.get(), 5)
        many.send(many.headers(25, request_fields(DUPLEX), "END_STREAM"))
        assert (await many.answer(25)).status == 0


async def test_a_call_that_is_answered_early_passes_those_that_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicers, "MOST_UNARY_AT_ONCE", 3)
    gate, running = asyncio.Event(), 0

    async def behaviour(_request: Any, _context: Any) -> Any:
        nonlocal running
        running += 1
        await gate.wait()
        return pb.SimpleResponse()

    served.servicer.behaviour = behaviour

    def early(offered: Any) -> bool:
        offered.answer(b"")
        return True

    served.inner.offer_first("grpc.testing.TestService", "EmptyCall", early)
    async with connected(served.port) as raw:
        for stream_id in range(1, 21, 2):
            raw.call(stream_id, request_fields(), framed(b""))
        passing = request_fields("/grpc.testing.TestService/EmptyCall")

        assert (await raw.ask(21, passing, framed(b""))).status == 0
        assert running == 3
        raw.send(RstStreamFrame(11, CANCEL))
        gate.set()
        await raw.until(lambda: answered(raw) == 10)
        assert running == 9


async def test_nothing_is_answered_for_a_client_that_does_not_read(served: Served) -> None:
    request = framed(pb.SimpleRequest(response_size=100_000))
    async with connected(served.port, settings={4: 0}) as raw:
        await raw.settle()
        for stream_id in range(1, 401, 2):
            raw.call(stream_id, request_fields(), request)
        await raw.settle()

        assert len(served.servicer.contexts) < 150
        raw.send(WindowUpdateFrame(0, window_increment=2**30))
        for stream_id in range(1, 401, 2):
            raw.send(WindowUpdateFrame(stream_id, window_increment=200_000))
            await raw.answer(stream_id)
        assert len(served.servicer.contexts) == 200


async def test_connections_are_limited_for_each_address_and_in_all(transport: Any) -> None:
    for limit in ("max_connections", "max_connections_per_peer"):
        told: list[str] = []
        limits: dict[str, Any] = {limit: 2}
        async with serving(transport, told.append, **limits) as served:
            async with two_clients(served), connected(served.port) as third:
                await third.until(lambda: third.closed)
            assert told == ["too_many"]

            async with connected(served.port) as raw:
                await eventually(lambda: raw.closed or raw.settings)
                assert (await raw.ask(1, request_fields(), framed(b""))).status == 0


async def test_pings_while_one_large_answer_comes_are_no_abuse(served: Served) -> None:
    size = 1_000_000
    async with connected(served.port) as raw:
        raw.call(1, request_fields(), framed(pb.SimpleRequest(response_size=size)))
        answer = raw.answers.setdefault(1, Answer())
        taken = 0
        while not answer.ended:
            await raw.until(lambda taken=taken: len(answer.data) > taken or answer.ended)
            grown, taken = len(answer.data) - taken, len(answer.data)
            if grown:
                raw.send(WindowUpdateFrame(0, window_increment=grown))
                raw.send(WindowUpdateFrame(1, window_increment=grown))
            await raw.settle()

        assert raw.goaways == []
        assert len(answer.data) > size


async def test_pings_as_far_apart_as_is_usual_are_never_punished() -> None:
    police = PingPolice(TransportOptions())

    # Ten seconds apart where they are sent; held up on the way, three at a time arrive together.
    arrivals = [10.0 * (number - number % 3) for number in range(3, 3_000)]

    assert not any(police.is_too_much(at, has_answered=False) for at in arrivals)
