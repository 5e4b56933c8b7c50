"""An engine that says what a test tells it to, over real gRPC on a loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from typing_extensions import override

from callgate.v1 import authorization_pb2, authorization_pb2_grpc, credits_pb2, credits_pb2_grpc


@dataclass
class Failure:
    """A status to end an RPC with; `reason` and `metadata` travel as ErrorInfo, if given."""

    code: grpc.StatusCode
    text: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Script:
    """What the engine will say, and what it was asked."""

    address: str = ""
    answer: authorization_pb2.AuthorizeCallResponse | Failure = field(
        default_factory=authorization_pb2.AuthorizeCallResponse
    )
    balance: credits_pb2.GetBalanceResponse | Failure = field(
        default_factory=credits_pb2.GetBalanceResponse
    )
    emergency_numbers: authorization_pb2.GetEmergencyNumbersResponse = field(
        default_factory=authorization_pb2.GetEmergencyNumbersResponse
    )
    questions: list[authorization_pb2.AuthorizeCallRequest] = field(default_factory=list)
    # Seconds that each question was given to be answered in.
    deadlines: list[float] = field(default_factory=list)


class _Authorization(authorization_pb2_grpc.AuthorizationServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    @override
    def AuthorizeCall(  # The contract's name.
        self, request: authorization_pb2.AuthorizeCallRequest, context: grpc.ServicerContext
    ) -> authorization_pb2.AuthorizeCallResponse:
        self._script.questions.append(request)
        self._script.deadlines.append(context.time_remaining() or 0.0)
        if isinstance(self._script.answer, Failure):
            _fail(context, self._script.answer)
        return self._script.answer

    @override
    def GetEmergencyNumbers(  # The contract's name.
        self, request: authorization_pb2.GetEmergencyNumbersRequest, context: grpc.ServicerContext
    ) -> authorization_pb2.GetEmergencyNumbersResponse:
        wanted = [
            entry
            for entry in self._script.emergency_numbers.locations
            if request.location in {"", entry.location}
        ]
        return authorization_pb2.GetEmergencyNumbersResponse(locations=wanted)


class _Credits(credits_pb2_grpc.CreditServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    @override
    def GetBalance(  # The contract's name.
        self, request: credits_pb2.GetBalanceRequest, context: grpc.ServicerContext
    ) -> credits_pb2.GetBalanceResponse:
        if isinstance(self._script.balance, Failure):
            _fail(context, self._script.balance)
        return self._script.balance


@contextmanager
def scripted_engine() -> Iterator[Script]:
    """Serve a script until the block ends."""
    script = Script()
    engine = grpc.server(ThreadPoolExecutor(max_workers=2))
    authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(
        _Authorization(script),  # type: ignore[abstract] # Scripts what the command line asks.
        engine,
    )
    credits_pb2_grpc.add_CreditServiceServicer_to_server(
        _Credits(script),  # type: ignore[abstract] # As above.
        engine,
    )
    port = engine.add_insecure_port("127.0.0.1:0")
    script.address = f"127.0.0.1:{port}"
    engine.start()
    try:
        yield script
    finally:
        engine.stop(grace=5).wait()


def _fail(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    if failure.reason:
        detail = Any()
        detail.Pack(
            ErrorInfo(reason=failure.reason, domain="callgate.v1", metadata=failure.metadata)
        )
        status = Status(code=failure.code.value[0], message=failure.text, details=[detail])
        context.abort_with_status(rpc_status.to_status(status))
    context.abort(failure.code, failure.text)
