"""Requests as bytes: who is turned away, with what, and how an answer looks frame by frame."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from interop import INITIAL_KEY, TRAILING_KEY, pb
from raw_http2 import (
    DUPLEX,
    STREAMING_OUTPUT,
    DataFrame,
    HeadersFrame,
    RawClient,
    connected,
    framed,
    request_fields,
)
from serving import Served, only_nghttp2, serving

EMPTY = framed(b"")
NO_ERROR = 0


@pytest.fixture
async def raw(served: Served) -> AsyncIterator[RawClient]:
    async with connected(served.port) as client:
        yield client


@only_nghttp2
async def test_a_foreign_content_type_is_answered_415(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(content_type="application/json"), EMPTY)

    assert answer.blocks[0][":status"] == "415"


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
async def test_every_content_type_of_grpc_is_served(raw: RawClient, content_type: str) -> None:
    answer = await raw.ask(1, request_fields(content_type=content_type), EMPTY)

    assert answer.blocks[0]["content-type"].startswith("application/grpc")
    assert answer.status == 0


@only_nghttp2
async def test_a_method_other_than_post_is_answered_405(raw: RawClient) -> None:
    fields = [(":method", "GET"), *request_fields()[1:]]

    answer = await raw.ask(1, fields)

    assert answer.blocks[0][":status"] == "405"


@only_nghttp2
async def test_an_unknown_encoding_is_unimplemented_and_names_the_known_ones(
    raw: RawClient,
) -> None:
    answer = await raw.ask(1, request_fields(grpc_encoding="snappy"), framed(b"x", flag=1))

    assert answer.status == 12
    assert {"identity", "gzip"} <= set(
        answer.blocks[-1]["grpc-accept-encoding"].replace(" ", "").split(",")
    )


async def test_an_error_before_any_message_is_trailers_only(raw: RawClient) -> None:
    status = pb.EchoStatus(code=9, message="100% & ☺")

    answer = await raw.ask(1, request_fields(), framed(pb.SimpleRequest(response_status=status)))

    assert answer.trailers_only
    assert answer.blocks[0][":status"] == "200"
    assert answer.status == 9
    assert answer.blocks[0]["grpc-message"] == "100%25 & %E2%98%BA"


async def test_an_answer_is_headers_one_message_and_trailers(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(), framed(pb.SimpleRequest(response_size=3)))

    assert [block.get("grpc-status") for block in answer.blocks] == [None, "0"]
    assert answer.data == framed(pb.SimpleResponse(payload=pb.Payload(body=bytes(3))))


async def test_an_answer_ahead_of_the_requests_end_is_followed_by_a_reset_without_error(
    raw: RawClient,
) -> None:
    raw.send(raw.headers(1, request_fields("/nobody.Serves/This")))

    await raw.until(lambda: 1 in raw.answers and raw.answers[1].reset is not None)

    assert raw.answers[1].status == 12
    assert raw.answers[1].reset == NO_ERROR


async def test_an_early_answer_of_a_servicer_is_followed_by_a_reset_without_error(
    raw: RawClient,
) -> None:
    wanted = pb.StreamingOutputCallRequest(response_status=pb.EchoStatus(code=7, message="no"))
    raw.send(raw.headers(1, request_fields(DUPLEX)), DataFrame(1, framed(wanted)))

    await raw.until(lambda: 1 in raw.answers and raw.answers[1].reset is not None)

    assert raw.answers[1].status == 7
    assert raw.answers[1].reset == NO_ERROR


async def test_an_answer_after_the_requests_end_is_not_reset(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(), EMPTY)
    await raw.settle()

    assert answer.reset is None


async def test_a_request_may_end_with_trailers_of_its_own(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields()), DataFrame(1, EMPTY))
    raw.send(raw.headers(1, [("x-late", "1")], "END_STREAM"))

    assert (await raw.answer(1)).status == 0


async def test_a_request_may_end_with_an_empty_frame(raw: RawClient) -> None:
    raw.send(raw.headers(1, request_fields()), DataFrame(1, EMPTY))
    raw.send(DataFrame(1, b"", flags=["END_STREAM"]))

    assert (await raw.answer(1)).status == 0


async def test_the_path_is_matched_whole(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields("/grpc.testing.TestService/UnaryCall/"), EMPTY)

    assert answer.status == 12


@pytest.mark.parametrize("path", ["", "no-slash", "/%00", "/a/b/c/d"])
async def test_a_strange_path_is_refused_without_harm(
    served: Served, raw: RawClient, path: str
) -> None:
    raw.send(raw.headers(1, request_fields(path), "END_STREAM"))
    await raw.settle()

    assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


@pytest.mark.parametrize("value", ["q6s=", "q6s"])
async def test_a_binary_value_is_read_padded_or_not(
    served: Served, raw: RawClient, value: str
) -> None:
    await raw.ask(1, [*request_fields(), ("blob-bin", value)], EMPTY)

    assert ("blob-bin", b"\xab\xab") in metadata_of(served)


@only_nghttp2
async def test_binary_values_joined_by_commas_are_read_apart(
    served: Served, raw: RawClient
) -> None:
    await raw.ask(1, [*request_fields(), ("blob-bin", "qw,q6s=, q6ur")], EMPTY)

    blobs = [value for key, value in metadata_of(served) if key == "blob-bin"]
    assert blobs == [b"\xab", b"\xab\xab", b"\xab\xab\xab"]


async def test_a_binary_value_that_is_not_base64_harms_nobody_else(raw: RawClient) -> None:
    raw.call(1, [*request_fields(), ("blob-bin", "!")], EMPTY)

    assert (await raw.answer(1)).status == 13
    assert (await raw.ask(3, request_fields(), EMPTY)).status == 0


async def test_the_headers_of_the_protocol_are_no_metadata(served: Served, raw: RawClient) -> None:
    await raw.ask(1, [*request_fields(grpc_timeout="5S"), ("x-own", "1")], EMPTY)

    assert ("x-own", "1") in metadata_of(served)
    assert not {"te", "content-type", "grpc-timeout", ":path"} & {
        key for key, _value in metadata_of(served)
    }


def metadata_of(served: Served) -> list[tuple[str, Any]]:
    """What the servicer of the only call was sent."""
    return [(key, value) for key, value in served.servicer.contexts[0].invocation_metadata()]


async def test_binary_metadata_goes_out_without_padding(raw: RawClient) -> None:
    fields = [*request_fields(), (TRAILING_KEY, "qw=="), (INITIAL_KEY, "ahead")]

    answer = await raw.ask(1, fields, EMPTY)

    assert answer.blocks[0][INITIAL_KEY] == "ahead"
    assert answer.blocks[-1][TRAILING_KEY] == "qw"


async def test_a_stream_without_answers_ends_with_status_ok(raw: RawClient) -> None:
    answer = await raw.ask(1, request_fields(STREAMING_OUTPUT), EMPTY)

    assert answer.status == 0
    assert answer.data == b""


async def test_headers_split_over_continuations_are_one_request(raw: RawClient) -> None:
    whole = raw.headers(1, request_fields())
    first = HeadersFrame(1, whole.data[:5])
    raw.send(first)
    raw.send_raw(_continuation(1, whole.data[5:9], end=False))
    raw.send_raw(_continuation(1, whole.data[9:], end=True))
    raw.send(DataFrame(1, EMPTY, flags=["END_STREAM"]))

    assert (await raw.answer(1)).status == 0


def _continuation(stream_id: int, block: bytes, *, end: bool) -> bytes:
    flags = 0x4 if end else 0
    header = len(block).to_bytes(3, "big") + bytes([9, flags])
    return header + stream_id.to_bytes(4, "big") + block


@only_nghttp2
async def test_metadata_beyond_the_limit_ends_the_call_and_not_the_connection(
    transport: Any,
) -> None:
    async with (
        serving(transport, max_metadata_bytes=4_000) as served,
        connected(served.port) as raw,
    ):
        answer = await raw.ask(1, [*request_fields(), ("x-large", "v" * 4_000)], EMPTY)
        after = await raw.ask(3, request_fields(), EMPTY)

        assert answer.status == 8
        assert after.status == 0
