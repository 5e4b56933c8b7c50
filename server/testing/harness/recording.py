"""Writing down what is asked and answered, and cutting streams: a transport around another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from typing_extensions import override

from callgate.v1 import authorization_pb2 as pb
from server.services.errors import DETAILS_KEY
from server.transport import Early, TransportServer
from server.transport.contract import Context
from server.transport.wrapping import Handler, WrappedServer, behaviour_of, with_behaviour

_CONTRACT = "callgate.v1."
# What a test does to the engine is no question of its callers.
_NOT_RECORDED = "callgate.v1.HarnessService"
_BRIDGES = "ControlCalls"
_METHODS = {
    "authorize_call": "AuthorizeCall",
    "authorize_calls": "AuthorizeCalls",
    "extend_call": "ExtendCall",
    "settle_call": "SettleCall",
    "release_call": "ReleaseCall",
}

# What is answered as it was written once.
_WRITTEN = {"GetEmergencyNumbers": pb.GetEmergencyNumbersResponse}

Told = Mapping[str, object]
_Serving = Callable[[Any, Context], Any]


class Recording:
    """A file with a line of JSON for each question and its answer."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._now_ms = now_ms

    def write(self, method: str, question: Message, told: Told) -> None:
        """Write one line; whoever reads the file sees it at once."""
        line = {"at_ms": self._now_ms(), "method": method, "question": _fields(question), **told}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RecordedServer(WrappedServer):
    """Serves on another transport; writes down what it served, and can cut its streams."""

    def __init__(self, inner: TransportServer, recording: Recording) -> None:
        super().__init__(inner)
        self.recording = recording
        self._streams: set[asyncio.Task[None]] = set()

    def cut_streams(self) -> None:
        """End every stream that is open now, as a broken connection does."""
        for stream in self._streams:
            stream.cancel()

    @override
    def wrap(self, handler: Handler, service: str, method: str) -> Handler:
        """Record a method of the contract; leave others as they are."""
        if not service.startswith(_CONTRACT) or service == _NOT_RECORDED:
            return handler
        behaviour = behaviour_of(handler)
        if handler.request_streaming or handler.response_streaming:
            return with_behaviour(handler, self._stream(behaviour, method))
        return with_behaviour(handler, self._unary(behaviour, method))

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer nothing early: what is recorded goes by the servicer, whose answer is the same."""

    @override
    def on_move(self, context: Context, tell: Callable[[], None]) -> None:
        """Call *tell* once when the call should move to a new connection."""
        super().on_move(_inner(context), tell)

    @override
    def expect_shared(self, context: Context) -> None:
        """Say that the call will be written shared messages."""
        super().expect_shared(_inner(context))

    def _unary(self, serve: _Serving, method: str) -> _Serving:
        async def recorded(request: Any, context: Context) -> Any:
            failure = _Failure(context)
            try:
                answer = await serve(request, cast("Context", failure))
            except BaseException:
                self.recording.write(method, request, {"error": failure.reason})
                raise
            told = _WRITTEN[method].FromString(answer) if isinstance(answer, bytes) else answer
            self.recording.write(method, request, {"answer": _fields(told)})
            return answer

        return recorded

    def _stream(self, serve: _Serving, method: str) -> _Serving:
        async def recorded(request: Any, context: Context) -> None:
            is_bridge = method == _BRIDGES
            seen = _RecordedStream(context, self.recording) if is_bridge else _Context(context)
            serving = asyncio.ensure_future(serve(request, cast("Context", seen)))
            self._streams.add(serving)
            try:
                await asyncio.wait({serving})
            finally:
                self._streams.discard(serving)
                serving.cancel()
            if serving.cancelled():
                await context.abort(
                    grpc.StatusCode.UNAVAILABLE, "The stream was cut (a fault of the harness)."
                )
            serving.result()

        return recorded


class _Context:
    """A context that is looked over the shoulder of."""

    def __init__(self, inner: Context) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _inner(context: Context) -> Context:
    return context.inner if isinstance(context, _Context) else context


class _Failure(_Context):
    """Knows why a call was aborted."""

    reason = "CANCELLED"

    async def abort(self, code: grpc.StatusCode, details: str = "", metadata: Any = ()) -> Any:
        """Abort."""
        self.reason = _reason(metadata) or code.name
        await self.inner.abort(code, details, metadata)


class _RecordedStream(_Context):
    """Sees what a bridge asks on its stream, and what it is answered."""

    def __init__(self, inner: Context, recording: Recording) -> None:
        super().__init__(inner)
        self._recording = recording
        self._asked: dict[int, pb.ControlQuestion] = {}

    async def read(self) -> Any:
        """Read the next message."""
        message = await self.inner.read()
        if isinstance(message, pb.ControlCallsRequest):
            self._asked |= {question.item_id: question for question in message.questions}
        return message

    async def write(self, message: Any) -> None:
        """Write a message."""
        # What is written is bytes already, where the same answer was made before.
        written = pb.ControlCallsResponse.FromString(message) if type(message) is bytes else message
        for item in written.items:
            self._answered(item)
        await self.inner.write(message)

    def _answered(self, item: pb.ControlItem) -> None:
        question = self._asked.pop(item.item_id, None)
        kind = question.WhichOneof("question") if question is not None else None
        method = _METHODS.get(kind or "")
        if method is None:
            return
        asked = getattr(question, str(kind))
        if item.HasField("error"):
            self._recording.write(method, asked, {"error": item.error.reason})
        else:
            self._recording.write(method, asked, {"answer": _fields(getattr(item, str(kind)))})


def _reason(metadata: Any) -> str:
    """Read the reason of an error from what travels with it."""
    for key, value in metadata:
        if key == DETAILS_KEY:
            info = ErrorInfo()
            for detail in Status.FromString(value).details:
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


def _fields(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
