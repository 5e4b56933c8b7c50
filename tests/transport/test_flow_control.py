"""Flow control: nobody sends faster than the other side reads, and credit is given back exactly."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from interop import pb
from raw_http2 import (
    DUPLEX,
    STREAMING_INPUT,
    STREAMING_OUTPUT,
    DataFrame,
    RawClient,
    RstStreamFrame,
    WindowUpdateFrame,
    connected,
    framed,
    request_fields,
)
from server.transport import TransportOptions, make_server
from serving import Served, eventually, only_nghttp2, serving

WINDOW_BYTES = 65_535
INITIAL_WINDOW_SIZE = 4
CANCEL = 8


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[RawClient]:
    async with connected(served.port) as client:
        yield client


def item(size: int) -> bytes:
    return framed(pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size))))


def wants(count: int, size: int) -> bytes:
    parameters = [pb.ResponseParameters(size=size) for _ in range(count)]
    return framed(pb.StreamingOutputCallRequest(response_parameters=parameters))


async def test_a_client_that_does_not_read_makes_write_wait(served: Served, raw: RawClient) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT), wants(1_000, 10_000))

    await raw.until(lambda: 1 in raw.answers and len(raw.answers[1].data) == WINDOW_BYTES)
    await raw.settle()
    written = served.servicer.written

    # What the client has, what may wait unsent, and one that filled it up.
    assert written <= (2 * WINDOW_BYTES) // 10_000 + 2
    assert not raw.answers[1].ended


async def test_a_client_that_reads_again_gets_the_rest(served: Served, raw: RawClient) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT), wants(100, 10_000))
    await raw.until(lambda: 1 in raw.answers and len(raw.answers[1].data) == WINDOW_BYTES)

    raw.send(WindowUpdateFrame(0, 10_000_000), WindowUpdateFrame(1, 10_000_000))

    assert (await raw.answer(1)).status == 0
    assert len(raw.answers[1].data) > 100 * 10_000


async def test_a_full_window_of_one_call_does_not_stop_another(transport: Any) -> None:
    async with (
        serving(transport) as served,
        connected(served.port, settings={INITIAL_WINDOW_SIZE: 1_000}) as raw,
    ):
        raw.call(1, request_fields(STREAMING_OUTPUT), wants(10, 10_000))
        await raw.until(lambda: 1 in raw.answers and len(raw.answers[1].data) == 1_000)

        answer = await raw.ask(3, request_fields(), framed(pb.SimpleRequest(response_size=9)))

        assert answer.status == 0


async def test_a_window_that_shrinks_below_zero_is_waited_for(
    served: Served, raw: RawClient
) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT), wants(10, 10_000))
    await raw.until(lambda: 1 in raw.answers and len(raw.answers[1].data) == WINDOW_BYTES)

    raw.send_raw(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x01")  # SETTINGS: a window of one byte.
    raw.send(WindowUpdateFrame(0, 10_000_000), WindowUpdateFrame(1, 10_000_000))

    assert (await raw.answer(1)).status == 0


@only_nghttp2
async def test_a_servicer_that_does_not_read_gets_no_more_than_a_window(
    served: Served, raw: RawClient
) -> None:
    served.servicer.gate.clear()
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT)))

    for _ in range(6):
        raw.send(DataFrame(1, item(10_000)))
    await raw.settle()
    held_back = raw.credit.get(1, 0)
    served.servicer.gate.set()
    raw.send(DataFrame(1, flags=["END_STREAM"]))
    await raw.answer(1)
    await raw.settle()

    assert held_back == 0
    assert raw.credit[1] > 0


@only_nghttp2
async def test_a_message_larger_than_the_window_is_credited_while_it_arrives(
    raw: RawClient,
) -> None:
    body = item(3 * WINDOW_BYTES)
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT)))
    sent = 0

    while sent < len(body):
        await raw.until(lambda sent=sent: raw.credit.get(1, 0) + WINDOW_BYTES > sent)
        piece = body[sent : sent + min(16_384, raw.credit.get(1, 0) + WINDOW_BYTES - sent)]
        raw.send(DataFrame(1, piece))
        sent += len(piece)
    raw.send(DataFrame(1, flags=["END_STREAM"]))

    assert (await raw.answer(1)).status == 0


@only_nghttp2
async def test_padding_is_credited_like_data(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields(DUPLEX)))

    for _ in range(200):
        raw.send(DataFrame(1, b"", pad_length=255, flags=["PADDED"]))
    await raw.settle()

    assert raw.credit[1] >= 200 * 256 - WINDOW_BYTES // 2


@only_nghttp2
async def test_the_connection_gets_back_what_a_reset_call_had_not_read(transport: Any) -> None:
    async with (
        serving(
            transport,
            max_concurrent_streams=2,
            stream_window_bytes=WINDOW_BYTES,
            min_ping_interval_seconds=0,  # The client pings to know how far the server is.
        ) as served,
        connected(served.port) as raw,
    ):
        served.servicer.gate.clear()
        window_bytes = 2 * WINDOW_BYTES

        for stream_id in range(1, 41, 2):
            raw.send(raw.headers(stream_id, request_fields(STREAMING_INPUT)))
            raw.send(DataFrame(stream_id, item(16_000)))
            raw.send(RstStreamFrame(stream_id, CANCEL))
            await raw.settle()
        given_back = raw.credit[0] - (window_bytes - WINDOW_BYTES)

        assert given_back >= 20 * 16_000 - window_bytes


@only_nghttp2
async def test_the_connection_gets_back_what_came_for_a_call_that_was_turned_away(
    transport: Any,
) -> None:
    async with (
        serving(transport, max_concurrent_streams=1, stream_window_bytes=WINDOW_BYTES) as served,
        connected(served.port) as raw,
    ):
        for stream_id in range(1, 41, 2):
            raw.send(raw.headers(stream_id, request_fields("/nobody/Here")))
            raw.send(DataFrame(stream_id, bytes(16_000)))
            await raw.settle()

        assert raw.credit[0] >= 20 * 16_000 - WINDOW_BYTES


@only_nghttp2
async def test_two_writers_or_readers_of_one_call_are_told_so(transport: Any) -> None:
    told: list[str] = []

    async def listen_in(_request: Any, context: Any) -> Any:
        for operation in (context.read, lambda: context.write(large)):
            first = asyncio.ensure_future(operation())
            await asyncio.sleep(0)
            try:
                await operation()
            except grpc.aio.UsageError as error:
                told.append(str(error))
            first.cancel()
        await context.abort(grpc.StatusCode.ABORTED)

    large = b"x" * 10 * WINDOW_BYTES
    handler: Any = grpc.stream_stream_rpc_method_handler(listen_in)
    inner = make_server(transport, TransportOptions())
    inner.add_registered_method_handlers("test.Crowd", {"Call": handler})
    port = inner.add_insecure_port("127.0.0.1:0")
    await inner.start()

    async with connected(port) as raw:
        raw.send(raw.headers(1, request_fields("/test.Crowd/Call")))
        await raw.until(lambda: 1 in raw.answers)
        raw.send(WindowUpdateFrame(0, 2**30), WindowUpdateFrame(1, 2**30))
        await raw.answer(1)

    assert ["read" in told[0], "write" in told[1]] == [True, True]
    await inner.stop(0)


async def test_a_call_that_never_drains_ends_with_its_deadline(
    served: Served, raw: RawClient
) -> None:
    raw.call(1, request_fields(STREAMING_OUTPUT, grpc_timeout="200m"), wants(1_000, 10_000))

    await raw.until(lambda: 1 in raw.answers and raw.answers[1].ended)

    assert raw.answers[1].reset == CANCEL or served.inner.name == "grpcio"
    await eventually(lambda: served.servicer.endings.qsize() == 1)


async def test_memory_stays_bounded_while_a_client_does_not_read(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        for stream_id in range(1, 101, 2):
            raw.call(stream_id, request_fields(STREAMING_OUTPUT), wants(1_000, 10_000))
        await raw.settle()

        # Fifty calls that want 10 MB each.
        assert served.servicer.written <= 50 * ((2 * WINDOW_BYTES) // 10_000 + 2)
