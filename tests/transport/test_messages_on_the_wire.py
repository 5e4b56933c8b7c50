"""Messages inside frames: split, joined, compressed, damaged, too large, too many, missing."""

import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop import pb
from raw_http2 import (
    DUPLEX,
    STREAMING_INPUT,
    UNARY,
    DataFrame,
    RawClient,
    connected,
    framed,
    gzipped,
    request_fields,
)
from serving import only_nghttp2, serving

INVALID_ARGUMENT, INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 3, 13, 8, 12
LIMIT_BYTES = 10_000


@pytest.fixture
async def raw(transport: Any) -> AsyncIterator[RawClient]:
    async with (
        serving(transport, max_receive_message_bytes=LIMIT_BYTES) as served,
        connected(served.port) as client,
    ):
        yield client


def item(size: int) -> bytes:
    return framed(pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size))))


def total(data: bytes) -> int:
    counted: int = pb.StreamingInputCallResponse.FromString(data[5:]).aggregated_payload_size
    return counted


async def test_a_message_may_be_cut_at_any_byte(raw: RawClient) -> None:
    request = framed(pb.SimpleRequest(response_size=3))
    raw.send(raw.headers(1, request_fields()))

    for position in range(len(request)):
        raw.send(DataFrame(1, request[position : position + 1]))
    raw.send(DataFrame(1, flags=["END_STREAM"]))

    assert (await raw.answer(1)).status == 0
    assert len(raw.answers[1].data) > 5


async def test_one_frame_may_hold_many_messages_and_a_part_of_the_next(raw: RawClient) -> None:
    whole = item(10) + item(20) + item(30) + item(40)
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT)))

    raw.send(DataFrame(1, whole[:-7]), DataFrame(1, whole[-7:], flags=["END_STREAM"]))

    assert total((await raw.answer(1)).data) == 100


async def test_empty_messages_are_messages(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields(DUPLEX)))

    raw.send(DataFrame(1, framed(b"") * 3, flags=["END_STREAM"]))

    assert (await raw.answer(1)).status == 0


@only_nghttp2
async def test_frames_may_be_padded(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT)))

    raw.send(DataFrame(1, item(50), pad_length=200, flags=["PADDED", "END_STREAM"]))

    assert total((await raw.answer(1)).data) == 50


@only_nghttp2
async def test_a_request_that_ends_inside_a_message_is_refused(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(), framed(pb.SimpleRequest(response_size=3))[:-1])

    assert answer.status == INTERNAL


@only_nghttp2
async def test_a_request_that_ends_inside_a_prefix_is_internal(raw: RawClient) -> None:
    assert (await raw.ask(1, request_fields(), b"\0\0\0")).status == INTERNAL


@only_nghttp2
async def test_a_unary_request_without_a_message_is_unimplemented(raw: RawClient) -> None:
    assert (await raw.ask(1, request_fields())).status == UNIMPLEMENTED


@only_nghttp2
async def test_a_unary_request_with_two_messages_is_unimplemented(raw: RawClient) -> None:
    assert (await raw.ask(1, request_fields(), framed(b"") * 2)).status == UNIMPLEMENTED


@only_nghttp2
async def test_an_unknown_flag_is_internal(raw: RawClient) -> None:
    assert (await raw.ask(1, request_fields(), framed(b"", flag=2))).status == INTERNAL


async def test_a_message_of_exactly_the_limit_is_read(raw: RawClient) -> None:
    request = pb.SimpleRequest(payload=pb.Payload(body=bytes(LIMIT_BYTES - 6)))
    assert request.ByteSize() == LIMIT_BYTES

    assert (await raw.ask(1, request_fields(), framed(request))).status == 0


async def test_a_message_beyond_the_limit_is_refused_by_its_prefix_alone(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields()))

    raw.send(DataFrame(1, struct.pack(">BI", 0, LIMIT_BYTES + 1)))

    assert (await raw.answer(1)).status == RESOURCE_EXHAUSTED


async def test_the_limit_counts_the_decompressed_bytes(raw: RawClient) -> None:
    bomb = framed(gzipped(bytes(LIMIT_BYTES * 100)), flag=1)
    assert len(bomb) < LIMIT_BYTES

    answer = await raw.ask(1, request_fields(grpc_encoding="gzip"), bomb)

    assert answer.status == RESOURCE_EXHAUSTED


async def test_compressed_and_plain_messages_may_alternate(raw: RawClient) -> None:
    plain = item(30)
    compressed = framed(gzipped(item(40)[5:]), flag=1)
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT, grpc_encoding="gzip")))

    raw.send(DataFrame(1, plain + compressed + plain, flags=["END_STREAM"]))

    assert total((await raw.answer(1)).data) == 100


@pytest.mark.parametrize(
    "payload",
    [b"not gzip", gzipped(b"cut short")[:-9], gzipped(b"") + b"more"],
    ids=["foreign", "cut short", "with a tail"],
)
async def test_a_damaged_compressed_message_is_internal(raw: RawClient, payload: bytes) -> None:
    answer = await raw.ask(1, request_fields(grpc_encoding="gzip"), framed(payload, flag=1))

    assert answer.status == INTERNAL


async def test_a_compressed_message_without_an_encoding_is_internal(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(), framed(gzipped(b""), flag=1))

    assert answer.status == INTERNAL


async def test_a_damaged_message_amid_a_stream_ends_the_call(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields(STREAMING_INPUT, grpc_encoding="gzip")))

    raw.send(DataFrame(1, item(10) + framed(b"not gzip", flag=1)))

    assert (await raw.answer(1)).status == INTERNAL


@only_nghttp2
async def test_bytes_that_are_no_message_of_the_method_are_refused(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(), framed(b"\xff\xff\xff"))

    assert answer.status == INVALID_ARGUMENT


@only_nghttp2
async def test_an_answer_is_compressed_only_for_who_can_read_it(raw: RawClient) -> None:
    request = pb.SimpleRequest(response_size=5_000, response_compressed=pb.BoolValue(value=True))
    reads_gzip = request_fields(UNARY, ("grpc-accept-encoding", "identity,gzip"))

    compressed = await raw.ask(1, reads_gzip, framed(request))
    plain = await raw.ask(3, request_fields(), framed(request))

    assert compressed.blocks[0]["grpc-encoding"] == "gzip"
    assert (compressed.data[0], len(compressed.data) < 1_000) == (1, True)
    assert (plain.data[0], len(plain.data) > 5_000) == (0, True)


@only_nghttp2
async def test_what_one_connection_makes_the_server_hold_is_bounded(transport: Any) -> None:
    async with (
        serving(transport, max_buffered_bytes=50_000) as served,
        connected(served.port) as raw,
    ):
        served.servicer.gate.clear()

        for stream_id in range(1, 200, 2):
            raw.send(raw.headers(stream_id, request_fields(STREAMING_INPUT)))
            raw.send(DataFrame(stream_id, item(1_000)))
        await raw.settle()
        refused = [n for n, answer in raw.answers.items() if answer.blocks]
        served.servicer.gate.set()

        assert 50 <= len(refused) <= 60
        assert {raw.answers[stream_id].status for stream_id in refused} == {RESOURCE_EXHAUSTED}
