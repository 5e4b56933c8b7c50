"""The seam: which transport is chosen, and that grpcio's own servicers run on either."""

import logging
from importlib.metadata import PackageNotFoundError
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

import server.transport
from interop import SERVICE, pb, stubs
from server.transport import TransportOptions, make_server


def pretend(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Let another version of ngh2 be installed, or none."""

    def installed(name: str) -> str:
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(server.transport, "version", installed)


async def test_auto_takes_nghttp2_where_it_is_installed() -> None:
    chosen = make_server("auto", TransportOptions())

    assert chosen.name == "nghttp2"
    await chosen.stop(0)


@pytest.mark.parametrize("version", [None, "0.2.9", "0.4.0", "1.0"])
async def test_auto_takes_grpcio_elsewhere_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str | None
) -> None:
    pretend(monkeypatch, version)

    with caplog.at_level(logging.WARNING):
        chosen = make_server("auto", TransportOptions())

    assert chosen.name == "grpcio"
    assert len(caplog.records) == 1
    assert "ngh2" in caplog.text
    await chosen.stop(0)


@pytest.mark.parametrize("version", ["0.3.0", "0.3.17"])
async def test_every_release_within_the_bounds_is_taken(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    pretend(monkeypatch, version)

    assert make_server("auto", TransportOptions()).name == "nghttp2"


def test_nghttp2_by_name_is_an_error_where_it_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, None)

    with pytest.raises(ImportError, match="ngh2"):
        make_server("nghttp2", TransportOptions())


async def test_grpcio_is_taken_by_name() -> None:
    chosen = make_server("grpcio", TransportOptions())

    assert chosen.name == "grpcio"
    await chosen.stop(0)


@pytest.fixture
async def everything(transport: Any) -> Any:
    """A server with the health and reflection servicers that come with grpcio."""
    inner = make_server(transport, TransportOptions())
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, inner)
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], inner)
    port = inner.add_insecure_port("127.0.0.1:0")
    await inner.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield checks, channel
    await inner.stop(0)


async def test_the_health_servicer_of_grpcio_answers_and_is_watched(everything: Any) -> None:
    checks, channel = everything
    stub: Any = health_pb2_grpc.HealthStub(channel)
    statuses = health_pb2.HealthCheckResponse

    watch = stub.Watch(health_pb2.HealthCheckRequest())
    first = await watch.read()
    await checks.set("", statuses.NOT_SERVING)
    second = await watch.read()
    watch.cancel()
    answer = await stub.Check(health_pb2.HealthCheckRequest())
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))

    assert [first.status, second.status] == [statuses.SERVING, statuses.NOT_SERVING]
    assert answer.status == statuses.NOT_SERVING
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_reflection_servicer_of_grpcio_lists_the_services(everything: Any) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(everything[1])
    question = reflection_pb2.ServerReflectionRequest(list_services="")

    answers = [answer async for answer in stub.ServerReflectionInfo(iter([question]))]

    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {SERVICE, reflection.SERVICE_NAME}


async def test_a_generic_handler_is_asked_by_path_and_metadata(transport: Any) -> None:
    class Anything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            asked.append(
                (
                    handler_call_details.method,
                    dict(handler_call_details.invocation_metadata).get("x-who"),
                )
            )
            return grpc.unary_unary_rpc_method_handler(shout)

    async def shout(request: bytes, _context: Any) -> bytes:
        return request.upper()

    asked: list[Any] = []
    inner = make_server(transport, TransportOptions())
    inner.add_generic_rpc_handlers((Anything(),))
    port = inner.add_insecure_port("127.0.0.1:0")
    await inner.start()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary("/any/Method")
        answer = await call(b"quiet", metadata=(("x-who", "me"),))

    assert answer == b"QUIET"
    assert asked == [("/any/Method", "me")]
    await inner.stop(0)


async def test_a_servicer_may_write_by_itself_instead_of_yielding(transport: Any) -> None:
    class Writer(stubs.TestServiceServicer):  # type: ignore[misc] # Generated at run time.
        async def FullDuplexCall(self, _requests: Any, context: Any) -> None:  # noqa: N802 - as in the proto.
            while (request := await context.read()) is not grpc.aio.EOF:
                size = request.response_parameters[0].size
                body = pb.Payload(body=bytes(size))
                await context.write(pb.StreamingOutputCallResponse(payload=body))

    inner = make_server(transport, TransportOptions())
    stubs.add_TestServiceServicer_to_server(Writer(), inner)
    port = inner.add_insecure_port("127.0.0.1:0")
    await inner.start()
    wanted = [
        pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size)])
        for size in (1, 2, 3)
    ]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = stubs.TestServiceStub(channel).FullDuplexCall(iter(wanted))
        sizes = [len(answer.payload.body) async for answer in call]

    assert sizes == [1, 2, 3]
    await inner.stop(0)
