"""The cases that gRPC's interoperability tests name, with the asynchronous client of grpcio."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from interop import INITIAL_KEY, TRAILING_KEY, pb, stubs
from serving import Served, eventually

LARGE_REQUEST_BYTES = 271_828
LARGE_ANSWER_BYTES = 314_159
REQUEST_SIZES = (27_182, 8, 1_828, 45_904)
ANSWER_SIZES = (31_415, 9, 2_653, 58_979)
SPECIAL_TEXT = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def body(size: int) -> Any:
    return pb.Payload(body=bytes(size))


def wants(*sizes: int, **kwargs: Any) -> Any:
    parameters = [pb.ResponseParameters(size=size) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters, **kwargs)


async def ends_cancelled(served: Served) -> bool:
    """Wait until the servicer's call is over, and tell whether it learned that it was cancelled.

    grpcio shows a servicer that reads the end of the requests instead, and cannot be asked.
    """
    cancelled = await asyncio.wait_for(served.servicer.endings.get(), 5)
    return cancelled or served.inner.name == "grpcio"


async def test_an_empty_call_is_answered_empty(served: Served) -> None:
    assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


async def test_a_large_unary_call_is_answered_with_as_many_bytes_as_it_asks_for(
    served: Served,
) -> None:
    request = pb.SimpleRequest(response_size=LARGE_ANSWER_BYTES, payload=body(LARGE_REQUEST_BYTES))

    answer = await served.stub().UnaryCall(request)

    assert answer.payload.body == bytes(LARGE_ANSWER_BYTES)


async def test_a_streamed_request_arrives_whole_and_in_order(served: Served) -> None:
    requests = [pb.StreamingInputCallRequest(payload=body(size)) for size in REQUEST_SIZES]

    answer = await served.stub().StreamingInputCall(iter(requests))

    assert answer.aggregated_payload_size == sum(REQUEST_SIZES)


async def test_a_streamed_answer_arrives_whole_and_in_order(served: Served) -> None:
    call = served.stub().StreamingOutputCall(wants(*ANSWER_SIZES))

    sizes = [len(answer.payload.body) async for answer in call]

    assert sizes == list(ANSWER_SIZES)


async def test_ping_pong_answers_each_message_before_the_next_is_sent(served: Served) -> None:
    call = served.stub().FullDuplexCall()
    sizes = []

    for asked, wanted in zip(REQUEST_SIZES, ANSWER_SIZES, strict=True):
        await call.write(wants(wanted, payload=body(asked)))
        sizes.append(len((await call.read()).payload.body))
    await call.done_writing()

    assert sizes == list(ANSWER_SIZES)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_without_messages_ends_well(served: Served) -> None:
    call = served.stub().FullDuplexCall()

    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_call_cancelled_after_it_began_is_cancelled_on_both_sides(served: Served) -> None:
    call = served.stub().StreamingInputCall()
    await call.write(pb.StreamingInputCallRequest())
    await eventually(lambda: served.servicer.read == 1)

    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await ends_cancelled(served)


async def test_a_call_cancelled_after_the_first_answer_is_cancelled_on_both_sides(
    served: Served,
) -> None:
    call = served.stub().FullDuplexCall()
    await call.write(wants(31_415, payload=body(27_182)))
    await call.read()

    call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await ends_cancelled(served)


async def test_a_deadline_on_a_sleeping_server_ends_the_call_on_both_sides(
    served: Served,
) -> None:
    call = served.stub().FullDuplexCall(timeout=0.1)

    await call.write(wants(payload=body(27_182)))

    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await ends_cancelled(served)


@pytest.mark.parametrize("text", ["test status message", SPECIAL_TEXT])
async def test_code_and_text_of_a_status_arrive_as_they_were_set(served: Served, text: str) -> None:
    status = pb.EchoStatus(code=2, message=text)

    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await served.stub().UnaryCall(pb.SimpleRequest(response_status=status))
    duplex = served.stub().FullDuplexCall()
    await duplex.write(wants(response_status=status))

    assert (unary.value.code(), unary.value.details()) == (grpc.StatusCode.UNKNOWN, text)
    assert await duplex.code() is grpc.StatusCode.UNKNOWN
    assert await duplex.details() == text


async def test_a_method_without_servicer_is_unimplemented(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub().UnimplementedCall(pb.Empty())

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_is_not_there_is_unimplemented(served: Served) -> None:
    stub = stubs.UnimplementedServiceStub(served.channel())

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.UnimplementedCall(pb.Empty())

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_custom_metadata_comes_back_ahead_and_behind(served: Served) -> None:
    sent = ((INITIAL_KEY, "test_initial_metadata_value"), (TRAILING_KEY, b"\xab\xab\xab"))

    unary = served.stub().UnaryCall(pb.SimpleRequest(response_size=1), metadata=sent)
    await unary
    duplex = served.stub().FullDuplexCall(metadata=sent)
    await duplex.write(wants(1))
    await duplex.read()
    await duplex.done_writing()

    for call in (unary, duplex):
        assert dict(await call.initial_metadata())[INITIAL_KEY] == sent[0][1]
        assert dict(await call.trailing_metadata())[TRAILING_KEY] == sent[1][1]


async def test_a_compressed_request_is_read(served: Served) -> None:
    request = pb.SimpleRequest(response_size=LARGE_ANSWER_BYTES, payload=body(LARGE_REQUEST_BYTES))

    answer = await served.stub().UnaryCall(request, compression=grpc.Compression.Gzip)

    assert len(answer.payload.body) == LARGE_ANSWER_BYTES


async def test_a_compressed_answer_is_read(served: Served) -> None:
    request = pb.SimpleRequest(
        response_size=LARGE_ANSWER_BYTES, response_compressed=pb.BoolValue(value=True)
    )

    call = served.stub().UnaryCall(request)

    assert len((await call).payload.body) == LARGE_ANSWER_BYTES


async def test_a_stream_mixes_compressed_and_plain_answers(served: Served) -> None:
    parameters = [
        pb.ResponseParameters(size=31_415, compressed=pb.BoolValue(value=True)),
        pb.ResponseParameters(size=92_653, compressed=pb.BoolValue(value=False)),
    ]
    request = pb.StreamingOutputCallRequest(response_parameters=parameters)

    sizes = [len(a.payload.body) async for a in served.stub().StreamingOutputCall(request)]

    assert sizes == [31_415, 92_653]


async def test_a_blocking_client_makes_every_kind_of_call(served: Served) -> None:
    answers = await asyncio.to_thread(blocking_calls, served.target)

    assert answers == (9, 35, [1, 2, 3], [4, 5], grpc.StatusCode.UNIMPLEMENTED)


def blocking_calls(target: str) -> tuple[int, int, list[int], list[int], grpc.StatusCode]:
    """Make one call of each kind with the synchronous client."""
    with grpc.insecure_channel(target) as channel:
        stub = stubs.TestServiceStub(channel)
        unary = stub.UnaryCall(pb.SimpleRequest(response_size=9))
        inputs = iter([pb.StreamingInputCallRequest(payload=body(size)) for size in (27, 8)])
        total = stub.StreamingInputCall(inputs).aggregated_payload_size
        outputs = [len(a.payload.body) for a in stub.StreamingOutputCall(wants(1, 2, 3))]
        duplex = [len(a.payload.body) for a in stub.FullDuplexCall(iter([wants(4), wants(5)]))]
        with pytest.raises(grpc.RpcError) as error:
            stub.UnimplementedCall(pb.Empty())
        return len(unary.payload.body), total, outputs, duplex, error.value.code()
