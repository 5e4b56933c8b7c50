"""Calls that end from outside: resets in both directions, deadlines, and clients that vanish."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from interop import pb
from raw_http2 import (
    DUPLEX,
    PREFACE,
    STREAMING_INPUT,
    STREAMING_OUTPUT,
    UNARY,
    DataFrame,
    RawClient,
    RstStreamFrame,
    connected,
    framed,
    request_fields,
)
from server.transport.status import reset_of_status, status_of_reset
from serving import Served, eventually, only_nghttp2, serving

DEADLINE_EXCEEDED = 4
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, CALM, INSECURE = 0, 1, 7, 8, 11, 12


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[RawClient]:
    async with connected(served.port) as client:
        yield client


def reset_stream(stream_id: int, code: int) -> RstStreamFrame:
    return RstStreamFrame(stream_id, error_code=code)


def never_ending() -> bytes:
    parameters = [pb.ResponseParameters(size=1, interval_us=10_000_000)]
    return framed(pb.StreamingOutputCallRequest(response_parameters=parameters))


@only_nghttp2
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (NO_ERROR, grpc.StatusCode.INTERNAL),
        (PROTOCOL_ERROR, grpc.StatusCode.INTERNAL),
        (REFUSED_STREAM, grpc.StatusCode.UNAVAILABLE),
        (CANCEL, grpc.StatusCode.CANCELLED),
        (CALM, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (INSECURE, grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_a_reset_by_the_client_is_the_status_of_the_call(
    served: Served, raw: RawClient, code: int, status: grpc.StatusCode
) -> None:
    raw.send(raw.headers(1, request_fields(DUPLEX)))
    await eventually(lambda: served.servicer.contexts)

    raw.send(reset_stream(1, code))

    assert await asyncio.wait_for(served.servicer.endings.get(), 5)
    assert served.servicer.contexts[0].code() is status


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_no_status_becomes_the_promise_that_nothing_ran(code: grpc.StatusCode) -> None:
    assert reset_of_status(code) != REFUSED_STREAM


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_a_status_sent_as_a_reset_is_read_back_as_itself(code: grpc.StatusCode) -> None:
    assert status_of_reset(reset_of_status(code)) is code


@only_nghttp2
@pytest.mark.parametrize(
    ("answered", "code", "status"),
    [
        ("too large", CALM, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("damaged", 2, grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_status_that_cannot_wait_for_the_window_is_a_reset(
    transport: Any, answered: str, code: int, status: grpc.StatusCode
) -> None:
    wanted = [pb.ResponseParameters(size=90_000)]
    bad = {"too large": b"\0\xff\xff\xff\xff", "damaged": b"\x07\0\0\0\0"}[answered]
    async with serving(transport) as served, connected(served.port) as raw:
        request = framed(pb.StreamingOutputCallRequest(response_parameters=wanted))
        raw.send(raw.headers(1, request_fields(DUPLEX)), DataFrame(1, request))
        await raw.until(lambda: 1 in raw.answers and raw.answers[1].data)

        raw.send(DataFrame(1, bad))
        await raw.until(lambda: raw.answers[1].ended)

        assert raw.answers[1].reset == code
        assert served.servicer.contexts[0].code() is status


@only_nghttp2
async def test_a_stream_beyond_the_limit_is_refused_without_running(transport: Any) -> None:
    async with (
        serving(transport, max_concurrent_streams=2) as served,
        connected(served.port) as raw,
    ):
        # Sent before the client can know of the limit.
        for stream_id in (1, 3, 5):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
        await raw.until(lambda: 5 in raw.answers and raw.answers[5].ended)

        assert raw.answers[5].reset == REFUSED_STREAM
        assert len(served.servicer.contexts) == 2


@pytest.mark.parametrize(
    "patience", ["1n", "99999u", "50m", "00000050m"], ids=["past", "micros", "millis", "8 digits"]
)
async def test_a_deadline_ends_a_call_in_every_unit(raw: RawClient, patience: str) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT, grpc_timeout=patience), never_ending())

    answer = await raw.answer(1)

    assert answer.reset is not None or answer.status == DEADLINE_EXCEEDED


@pytest.mark.parametrize("patience", ["99999999H", "99999999M", "99999999n", "1S"])
async def test_a_deadline_that_is_far_away_does_no_harm(raw: RawClient, patience: str) -> None:
    answer = await raw.ask(1, request_fields(grpc_timeout=patience), framed(b""))

    assert answer.status == 0


@only_nghttp2
@pytest.mark.parametrize("patience", ["", "5", "m", "123456789m", "-1m", "1.5S", "5 m", "5x", "²m"])
async def test_a_timeout_that_cannot_be_read_is_internal(raw: RawClient, patience: str) -> None:
    answer = await raw.ask(1, request_fields(grpc_timeout=patience), framed(b""))

    assert answer.status == 13


@only_nghttp2
async def test_a_request_that_never_arrives_ends_with_its_deadline(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields(grpc_timeout="50m")))

    assert (await raw.answer(1)).status == DEADLINE_EXCEEDED


async def test_a_servicer_sees_how_long_it_has(served: Served) -> None:
    left: list[float | None] = []

    async def look(_request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return pb.SimpleResponse()

    served.servicer.behaviour = look
    await served.stub().UnaryCall(pb.SimpleRequest(), timeout=5)
    await served.stub().UnaryCall(pb.SimpleRequest())

    assert left[0] is not None
    assert 4 < left[0] < 5.1
    assert left[1] is None


async def test_a_servicer_that_refuses_to_stop_does_not_hold_up_the_answer(
    served: Served,
) -> None:
    told = asyncio.Event()

    async def stubborn(_request: Any, _context: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.wait_for(told.wait(), 5)
        return pb.SimpleResponse()

    served.servicer.behaviour = stubborn

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub().UnaryCall(pb.SimpleRequest(), timeout=0.1)
    told.set()

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_clean_up_after_a_cancellation_may_take_its_time(served: Served) -> None:
    cleaned = asyncio.Event()

    async def careful(_request: Any, _context: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned.set()

    served.servicer.behaviour = careful
    call = served.stub().UnaryCall(pb.SimpleRequest())
    await asyncio.sleep(0.05)
    call.cancel()

    await asyncio.wait_for(cleaned.wait(), 5)


@only_nghttp2
async def test_a_generator_that_is_left_early_is_closed_at_once(
    served: Served, raw: RawClient
) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT), never_ending())
    await eventually(lambda: served.servicer.contexts)

    raw.send(reset_stream(1, CANCEL))
    await raw.settle()

    assert served.servicer.endings.qsize() == 1


@only_nghttp2
async def test_a_servicer_that_cancels_itself_is_cancelled_for_its_client(
    served: Served,
) -> None:
    async def give_up(_request: Any, _context: Any) -> Any:
        raise asyncio.CancelledError

    served.servicer.behaviour = give_up

    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await served.stub().UnaryCall(pb.SimpleRequest())


STATES = {
    "before the preface": b"",
    "inside the preface": PREFACE[:10],
    "inside a frame header": PREFACE + b"\0\0",
    "inside a frame": PREFACE + b"\0\0\x06\x04\0\0\0\0\0\0",
}


@pytest.mark.parametrize("sent", list(STATES.values()), ids=list(STATES))
async def test_a_client_may_vanish_while_it_greets(served: Served, sent: bytes) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    await writer.drain()
    writer.transport.abort()

    assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


@pytest.mark.parametrize("path", [UNARY, STREAMING_INPUT, DUPLEX])
@pytest.mark.parametrize("body", [b"", b"\0\0\0", framed(b""), framed(b"") + b"\0"])
async def test_a_client_may_vanish_inside_a_request(served: Served, path: str, body: bytes) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(path)), DataFrame(1, body))
        await raw.settle()
        raw.close()

    assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


async def test_a_client_may_vanish_while_it_is_answered(served: Served) -> None:
    parameters = [pb.ResponseParameters(size=10_000) for _ in range(100)]
    request = framed(pb.StreamingOutputCallRequest(response_parameters=parameters))
    async with connected(served.port) as raw:
        raw.call(1, request_fields(STREAMING_OUTPUT), request)
        await raw.until(lambda: 1 in raw.answers and raw.answers[1].data)
        raw.close()

    await asyncio.wait_for(served.servicer.endings.get(), 5)


async def test_a_client_that_closes_its_half_of_the_socket_is_gone(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(DUPLEX)))
        await eventually(lambda: served.servicer.contexts)
        raw._writer.write_eof()

        await asyncio.wait_for(served.servicer.endings.get(), 5)


async def test_each_of_many_deadlines_ends_its_own_call(raw: RawClient) -> None:
    timeouts = {1: "400m", 3: "50m", 5: "200m", 7: "100m"}
    ended: list[int] = []

    for stream_id, patience in timeouts.items():
        fields = request_fields(STREAMING_OUTPUT, grpc_timeout=patience)
        raw.call(stream_id, fields, never_ending())
    while len(ended) < len(timeouts):
        await asyncio.sleep(0.001)
        ended += [n for n, answer in raw.answers.items() if answer.ended and n not in ended]

    assert ended == [3, 7, 5, 1]


@pytest.mark.parametrize("transport", ["nghttp2"], indirect=True)
@pytest.mark.parametrize("patience", ["999u", "1n", "0S", "0m"])
async def test_a_deadline_of_less_than_a_millisecond_has_passed(
    served: Served, patience: str
) -> None:
    async with connected(served.port) as raw:
        answer = await raw.ask(1, request_fields(grpc_timeout=patience), framed(b""))

        assert answer.status == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        assert served.servicer.contexts == []
