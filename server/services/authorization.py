"""The AuthorizationService: each method hands its question to the verb of its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from typing_extensions import override

from callgate.v1 import authorization_pb2 as pb
from policy.emergency import is_beyond_emergency
from server.calls.fast_path import FastPath, PendingReserve
from server.calls.handlers import CallHandlers
from server.calls.load_shedding import Overloaded
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.lenient import (
    parse_control,
    parse_legs,
    parse_question,
    serialize_answer,
    serialize_answers,
    serialize_control,
)
from server.observability.metrics import Metrics
from server.services.bridge_stream import Control
from server.services.errors import Method, ending_of
from server.services.methods import Unary, serve_unary
from server.transport import OfferedCall, TransportServer
from server.transport.contract import Context

SERVICE = pb.DESCRIPTOR.services_by_name["AuthorizationService"].full_name

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Authorization:
    """Answers what `authorization.proto` promises."""

    verbs: CallHandlers
    control: Control
    quick: FastPath
    metrics: Metrics

    async def get_emergency_numbers(
        self, request: pb.GetEmergencyNumbersRequest, _context: Context
    ) -> bytes:
        """List emergency numbers, from memory alone."""
        return self.verbs.door.list_numbers(limits.location(request.location))

    def register(self, target: TransportServer) -> None:
        """Serve all of it."""
        verbs = self.verbs
        methods = {
            "AuthorizeCall": Unary(_timed(verbs.authorize_call), parse_question, serialize_answer),
            "AuthorizeCalls": Unary(
                _timed(verbs.authorize_calls),
                parse_legs,
                serialize_answers,
            ),
            "ExtendCall": Unary(
                _timed(verbs.extend_call),
                pb.ExtendCallRequest.FromString,
                pb.ExtendCallResponse.SerializeToString,
            ),
            "SettleCall": Unary(
                _timed(verbs.settle_call),
                pb.SettleCallRequest.FromString,
                pb.SettleCallResponse.SerializeToString,
            ),
            "ReleaseCall": Unary(
                _timed(verbs.release_call),
                pb.ReleaseCallRequest.FromString,
                pb.ReleaseCallResponse.SerializeToString,
            ),
            "ListCalls": Unary(
                _timed(verbs.list_calls),
                pb.ListCallsRequest.FromString,
                pb.ListCallsResponse.SerializeToString,
            ),
            "GetEmergencyNumbers": Unary(
                self.get_emergency_numbers,
                pb.GetEmergencyNumbersRequest.FromString,
                bytes,
            ),
        }
        streams = {
            "ControlCalls": Unary(self._control_calls(target), parse_control, serialize_control)
        }
        count = self.metrics.count_failure
        serve_unary(target, SERVICE, methods, count_failure=count, streams=streams)
        target.offer_first(SERVICE, "AuthorizeCall", self._authorize_early)
        target.offer_first(SERVICE, "GetEmergencyNumbers", self._list_numbers_early)

    def _authorize_early(self, offered: OfferedCall) -> bool:
        """Take a question that is like one before."""
        try:
            request = pb.AuthorizeCallRequest.FromString(offered.message)
        except DecodeError:
            return False
        if not is_beyond_emergency(request.called_number):
            # Ahead of whatever waits for a servicer.
            emergency = self.verbs.door.grant(request)
            if emergency is not None:
                offered.answer(serialize_answer(emergency))
                return True
        asking = UnaryAsking(offered, self.metrics.count_failure)
        if self.verbs.load.sheds(request):
            asking.fail(Overloaded())
            return True
        return self.quick.ask(request, asking)

    def _list_numbers_early(self, offered: OfferedCall) -> bool:
        """Answer from what is kept, without a servicer."""
        try:
            request = pb.GetEmergencyNumbersRequest.FromString(offered.message)
            location = limits.location(request.location)
        except (DecodeError, InvalidRequest):
            return False
        offered.answer(self.verbs.door.list_numbers(location))
        return True

    def _control_calls(self, target: TransportServer) -> Method[Any, None]:
        """Serve bridges' streams; the requests are read from the context, one by one."""

        async def control_calls(_requests: Any, context: Context) -> None:
            await self.control.serve(context, lambda tell: target.on_move(context, tell))

        return control_calls


class UnaryAsking(PendingReserve):
    """A question that came as a call of its own."""

    __slots__ = ("_count_failure", "_offered")

    def __init__(self, offered: OfferedCall, count_failure: Callable[[str], None]) -> None:
        self._offered = offered
        self._count_failure = count_failure

    @override
    def remaining_seconds(self) -> float | None:
        return self._offered.time_remaining()

    @override
    def answer(self, response: bytes) -> None:
        offered = self._offered
        del self._offered
        offered.answer(response)

    @override
    def leave(self) -> None:
        self._offered.leave_to_servicer()

    @override
    def fail(self, error: Exception) -> None:
        self._offered.abort(*ending_of(error, self._count_failure))


def _timed(verb: Callable[[Q, float | None], Awaitable[A]]) -> Method[Q, A]:
    """Give a verb what is left of the caller's deadline."""

    async def method(request: Q, context: Context) -> A:
        return await verb(request, context.time_remaining())

    return method
