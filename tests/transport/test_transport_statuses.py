"""Statuses: every code, texts of any kind, rich details, and what a servicer's mistakes become."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from interop import pb
from raw_http2 import connected, framed, request_fields
from serving import Served, eventually, only_nghttp2, serving

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
Behaviour = Any


@pytest.fixture
async def behaving(transport: Any) -> AsyncIterator[Any]:
    """Make a server whose unary method is the test's own function."""
    async with serving(transport) as served:

        async def fail_with(behaviour: Behaviour) -> grpc.aio.AioRpcError:
            served.servicer.behaviour = behaviour
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await served.stub().UnaryCall(pb.SimpleRequest())
            return error.value

        yield fail_with


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_every_status_code_arrives(served: Served, code: grpc.StatusCode) -> None:
    request = pb.SimpleRequest(
        response_status=pb.EchoStatus(code=code.value[0], message=f"said {code.name}")
    )

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub().UnaryCall(request)

    assert (error.value.code(), error.value.details()) == (code, f"said {code.name}")


@pytest.mark.parametrize(
    "text", ["", "%", "%41", "a b~!", "\x7f\x00", "naïve ☎ 📞", "\r\nsplit: yes"]
)
async def test_the_text_of_a_status_survives_the_wire(behaving: Any, text: str) -> None:
    async def abort(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.ABORTED, text)

    assert (await behaving(abort)).details() == text


@only_nghttp2
async def test_a_text_beyond_the_limit_is_cut_between_characters(transport: Any) -> None:
    status = pb.EchoStatus(code=9, message="☎" * 10)  # Three bytes each.
    async with (
        serving(transport, max_status_text_bytes=10) as served,
        connected(served.port) as raw,
    ):
        request = framed(pb.SimpleRequest(response_status=status))

        answer = await raw.ask(1, request_fields(), request)

        assert answer.blocks[0]["grpc-message"] == "%E2%98%8E" * 3


async def test_rich_details_arrive_as_they_were_packed(behaving: Any) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="callgate.v1"))
    rich = status_pb2.Status(code=8, message="too much", details=[detail])

    async def abort(_request: Any, context: Any) -> None:
        await context.abort_with_status(rpc_status.to_status(rich))

    error = await behaving(abort)

    found = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found == rich


async def test_an_abort_carries_trailing_metadata(behaving: Any) -> None:
    async def abort(_request: Any, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "later", (("grpc-retry-pushback-ms", "250"),)
        )

    error = await behaving(abort)

    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "250"


async def test_a_status_set_without_abort_ends_the_call(behaving: Any) -> None:
    async def refuse(_request: Any, context: Any) -> Any:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("no such call")
        context.set_trailing_metadata((("x-why", "gone"),))
        return pb.SimpleResponse()

    error = await behaving(refuse)

    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such call")
    assert dict(error.trailing_metadata())["x-why"] == "gone"


@only_nghttp2
async def test_an_abort_that_claims_success_is_unknown(behaving: Any) -> None:
    async def abort(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.OK, "fine")

    assert (await behaving(abort)).code() is grpc.StatusCode.UNKNOWN


async def test_an_exception_is_unknown(behaving: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def break_down(_request: Any, _context: Any) -> None:
        raise KeyError("secret of the house")

    error = await behaving(break_down)

    assert error.code() is grpc.StatusCode.UNKNOWN
    assert "secret of the house" in caplog.text


@only_nghttp2
async def test_the_text_of_an_exception_stays_in_the_log(behaving: Any) -> None:
    async def break_down(_request: Any, _context: Any) -> None:
        raise KeyError("secret of the house")

    assert "secret" not in str((await behaving(break_down)).details())


async def test_an_exception_after_a_status_was_set_keeps_the_status(behaving: Any) -> None:
    async def give_up(_request: Any, context: Any) -> None:
        context.set_code(grpc.StatusCode.DATA_LOSS)
        raise NotImplementedError

    assert (await behaving(give_up)).code() is grpc.StatusCode.DATA_LOSS


@only_nghttp2
async def test_an_answer_of_the_wrong_kind_is_internal(behaving: Any) -> None:
    async def answer(_request: Any, _context: Any) -> Any:
        return None

    assert (await behaving(answer)).code() is grpc.StatusCode.INTERNAL


@only_nghttp2
@pytest.mark.parametrize(
    "pair",
    [("Upper", "v"), ("", "v"), ("x:y", "v"), ("grpc-status", "0"), ("x", "line\nbreak"),
     ("x-bin", "text"), ("x", "ü")],
)  # fmt: skip
async def test_metadata_that_cannot_travel_is_the_servicers_mistake(
    behaving: Any, pair: tuple[str, str]
) -> None:
    async def answer(_request: Any, context: Any) -> Any:
        with pytest.raises(ValueError, match=r"metadata|ASCII|bytes"):
            context.set_trailing_metadata((pair,))
        await context.abort(grpc.StatusCode.ABORTED, "checked")

    assert (await behaving(answer)).details() == "checked"


@only_nghttp2
async def test_trailing_metadata_beyond_the_limit_is_the_servicers_mistake(
    behaving: Any,
) -> None:
    async def answer(_request: Any, context: Any) -> Any:
        with pytest.raises(ValueError, match="larger"):
            context.set_trailing_metadata((("x", "v" * 20_000),))
        await context.abort(grpc.StatusCode.ABORTED, "checked")

    assert (await behaving(answer)).details() == "checked"


async def test_nothing_can_be_sent_after_an_abort(behaving: Any) -> None:
    failures: list[str] = []

    async def abort_and_go_on(_request: Any, context: Any) -> Any:
        with pytest.raises(grpc.aio.AbortError):
            await context.abort(grpc.StatusCode.ABORTED, "first")
        for attempt in (context.write(pb.SimpleResponse()), context.send_initial_metadata(())):
            try:
                await attempt
            except Exception as error:  # noqa: BLE001 - each transport has its own.
                failures.append(type(error).__name__)
        return pb.SimpleResponse()

    assert (await behaving(abort_and_go_on)).details() == "first"

    await eventually(lambda: len(failures) == 2)


async def test_done_callbacks_run_when_the_call_is_over(behaving: Any) -> None:
    told: list[Any] = []

    async def abort(_request: Any, context: Any) -> None:
        context.add_done_callback(told.append)
        await context.abort(grpc.StatusCode.ABORTED)

    await behaving(abort)

    await eventually(lambda: len(told) == 1)
    assert told.pop().done()
