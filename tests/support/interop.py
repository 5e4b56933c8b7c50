"""The service of gRPC's interoperability tests: its messages, and a servicer under watch."""

import asyncio
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import grpc_tools
from grpc_tools import protoc

INITIAL_KEY = "x-grpc-test-echo-initial"
TRAILING_KEY = "x-grpc-test-echo-trailing-bin"
SERVICE = "grpc.testing.TestService"


@cache
def modules() -> tuple[ModuleType, ModuleType]:
    """Generate the messages and stubs, as any user of gRPC would, and return both modules."""
    proto = Path(__file__).with_name("interop.proto")
    with tempfile.TemporaryDirectory() as folder:
        failed = protoc.main(
            [
                "protoc",
                f"-I{proto.parent}",
                f"-I{resources.files(grpc_tools) / '_proto'}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                str(proto),
            ]
        )
        assert not failed
        sys.path.insert(0, folder)
        try:
            return (
                importlib.import_module("interop_pb2"),
                importlib.import_module("interop_pb2_grpc"),
            )
        finally:
            sys.path.remove(folder)


pb: Any
stubs: Any
pb, stubs = modules()


class InteropServicer(stubs.TestServiceServicer):  # type: ignore[misc] # Generated above.
    """Answers as the interoperability tests expect.

    Attributes:
        contexts: The context of every call, for tests that look at it from the server's side.
        endings: Whether a call was cancelled, for each streaming call that ended.
        read: How many streamed requests have been read.
        written: How many streamed answers have been written.
        gate: Closed, no streamed request is read.
        behaviour: What answers a unary call instead, if a test has set it.
    """

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.endings: asyncio.Queue[bool] = asyncio.Queue()
        self.read = 0
        self.written = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.behaviour: Callable[[Any, Any], Awaitable[Any]] | None = None

    async def EmptyCall(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto's name.
        await self._echo_metadata(context)
        return pb.Empty()

    async def UnaryCall(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto's name.
        if self.behaviour is not None:
            return await self.behaviour(request, context)
        await self._echo_metadata(context)
        await self._end_as_asked(request, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

    async def StreamingInputCall(  # noqa: N802 - the proto's name.
        self, requests: AsyncIterator[Any], context: Any
    ) -> Any:
        self.contexts.append(context)
        total = 0
        try:
            await self.gate.wait()
            async for request in requests:
                self.read += 1
                total += len(request.payload.body)
                await self.gate.wait()
        finally:
            self.endings.put_nowait(context.cancelled())
        return pb.StreamingInputCallResponse(aggregated_payload_size=total)

    async def StreamingOutputCall(  # noqa: N802 - the proto's name.
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        await self._echo_metadata(context)
        try:
            async for answer in self._answers(request, context):
                yield answer
                self.written += 1
        finally:
            self.endings.put_nowait(context.cancelled())
        await self._end_as_asked(request, context)

    async def FullDuplexCall(  # noqa: N802 - the proto's name.
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        await self._echo_metadata(context)
        try:
            async for request in requests:
                self.read += 1
                async for answer in self._answers(request, context):
                    yield answer
                    self.written += 1
                await self._end_as_asked(request, context)
        finally:
            self.endings.put_nowait(context.cancelled())

    async def _answers(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if any(wanted.compressed.value for wanted in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for wanted in request.response_parameters:
            await asyncio.sleep(wanted.interval_us / 1e6)
            if not wanted.compressed.value:
                context.disable_next_message_compression()
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(wanted.size)))

    async def _echo_metadata(self, context: Any) -> None:
        self.contexts.append(context)
        sent = dict(context.invocation_metadata())
        if INITIAL_KEY in sent:
            await context.send_initial_metadata(((INITIAL_KEY, sent[INITIAL_KEY]),))
        if TRAILING_KEY in sent:
            context.set_trailing_metadata(((TRAILING_KEY, sent[TRAILING_KEY]),))

    async def _end_as_asked(self, request: Any, context: Any) -> None:
        if request.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            wanted = request.response_status
            await context.abort(codes[wanted.code], wanted.message)
