"""Requests that never come whole: what is kept of them is bounded, in time and in memory."""

from typing import Any

import grpc
import pytest

from interop import pb
from raw_http2 import DUPLEX, DataFrame, connected, framed, request_fields
from serving import Served, eventually, serving

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAUTHENTICATED = 4, 8, 16


@pytest.fixture
def transport() -> Any:
    """These are promises of the fast transport alone."""
    return "nghttp2"


async def test_a_request_that_does_not_arrive_ends_its_call(transport: Any) -> None:
    async with (
        serving(transport, arrival_timeout_seconds=0.1) as served,
        connected(served.port) as raw,
    ):
        whole = framed(pb.StreamingOutputCallRequest(payload=pb.Payload(body=bytes(100))))
        raw.send(raw.headers(1, request_fields()))
        raw.send(raw.headers(3, request_fields()), DataFrame(3, framed(bytes(50))[:20]))
        raw.send(raw.headers(5, request_fields(DUPLEX)), DataFrame(5, whole + whole[:20]))
        raw.send(raw.headers(7, request_fields(DUPLEX)), DataFrame(7, whole))

        for late in (1, 3, 5):
            assert (await raw.answer(late)).status == DEADLINE_EXCEEDED
        raw.send(DataFrame(7, whole, flags=["END_STREAM"]))
        assert (await raw.answer(7)).status == 0


async def test_a_process_keeps_no_more_of_requests_than_it_may(transport: Any) -> None:
    async with (
        serving(transport, max_buffered_bytes_in_all=100_000) as served,
        connected(served.port) as greedy,
        connected(served.port) as modest,
    ):
        request = framed(pb.SimpleRequest(payload=pb.Payload(body=bytes(70_000))))
        small = framed(pb.SimpleRequest(payload=pb.Payload(body=bytes(1_000))))
        await greedy.settle()
        await modest.settle()
        modest.send(modest.headers(1, request_fields()), DataFrame(1, small[:900]))
        for stream_id in (1, 3):
            greedy.send(greedy.headers(stream_id, request_fields()))
            for at in range(0, 60_000, 15_000):
                greedy.send(DataFrame(stream_id, request[at : at + 15_000]))
        await eventually(lambda: any(one.ended for one in greedy.answers.values()))

        assert greedy.answers[1].status == RESOURCE_EXHAUSTED
        modest.send(DataFrame(1, small[900:], flags=["END_STREAM"]))
        assert (await modest.answer(1)).status == 0


async def test_who_may_not_ask_is_told_before_the_request_is_sent(served: Served) -> None:
    served.inner.check_head(
        "grpc.testing.TestService",
        "UnaryCall",
        lambda _context: (grpc.StatusCode.UNAUTHENTICATED, "who are you?", (("why", "head"),)),
    )
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields()))
        answer = await raw.answer(1)

        assert answer.status == UNAUTHENTICATED
        assert answer.blocks[-1]["why"] == "head"
        assert served.servicer.contexts == []
