"""Asking cases of an engine that runs: what needs a clock or facts of its own is skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc.aio
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from server.testing.cases.files import Case
from server.testing.cases.runner import QuestionFailed

_PATIENCE_SECONDS = 10.0

Answer = TypeVar("Answer")


class Outside:
    """An engine that runs elsewhere, as the one world of all cases."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._calls: Any = AuthorizationServiceStub(channel)
        self._credits: Any = CreditServiceStub(channel)

    async def set_up(self, case: Case) -> Outside | None:
        """Take the engine as it is."""
        return None if case.needs_own_world else self

    async def pass_time(self, _span_ms: int) -> None:
        """Not be asked for: such cases are skipped."""
        raise AssertionError("a case that lets time pass is not asked of a running engine")

    async def authorize(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse:
        """Ask."""
        return await _ask(self._calls.AuthorizeCall, question)

    async def extend(self, question: pb.ExtendCallRequest) -> pb.ExtendCallResponse:
        """Ask."""
        return await _ask(self._calls.ExtendCall, question)

    async def settle(self, question: pb.SettleCallRequest) -> pb.SettleCallResponse:
        """Ask."""
        return await _ask(self._calls.SettleCall, question)

    async def release(self, question: pb.ReleaseCallRequest) -> pb.ReleaseCallResponse:
        """Ask."""
        return await _ask(self._calls.ReleaseCall, question)

    async def balance(self, tenant_id: str) -> GetBalanceResponse:
        """Ask."""
        return await _ask(self._credits.GetBalance, GetBalanceRequest(tenant_id=tenant_id))


async def _ask(method: Callable[..., Awaitable[Answer]], question: Any) -> Answer:
    try:
        return await method(question, timeout=_PATIENCE_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise QuestionFailed(_reason(error), error.details() or "") from error


def _reason(error: Any) -> str:
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return cast("str", error.code().name)
