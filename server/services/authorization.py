"""The AuthorizationService: each method hands its question to the verb of its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from typing_extensions import override

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import add_AuthorizationServiceServicer_to_server
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
from server.services.bridge_stream import Control
from server.services.errors import Method, ending_of
from server.services.registration import Codec, serve
from server.transport import OfferedCall, TransportServer
from server.transport.contract import Context

_SERVICE = pb.DESCRIPTOR.services_by_name["AuthorizationService"].full_name
# An emergency is read from broken messages too, and usual answers are kept as bytes.
_CODECS = {
    "AuthorizeCall": Codec(parse_question, serialize_answer),
    "AuthorizeCalls": Codec(parse_legs, serialize_answers),
    "ControlCalls": Codec(parse_control, serialize_control),
    "GetEmergencyNumbers": Codec(pb.GetEmergencyNumbersRequest.FromString, bytes),
}


@dataclass(frozen=True, slots=True)
class Authorization:
    """Answers what `authorization.proto` promises."""

    verbs: CallHandlers
    control: Control
    quick: FastPath
    count_failure: Callable[[str], None]
    transport: TransportServer

    def register(self) -> None:
        """Serve all of it; questions that are like one before are taken before their servicer."""
        add = add_AuthorizationServiceServicer_to_server
        serve(add, self.transport, self, _InTime(self.verbs), codecs=_CODECS)
        self.transport.offer_first(_SERVICE, "AuthorizeCall", self.authorize_early)
        self.transport.offer_first(_SERVICE, "GetEmergencyNumbers", self.list_numbers_early)

    async def get_emergency_numbers(
        self, request: pb.GetEmergencyNumbersRequest, _context: Context
    ) -> bytes:
        """List emergency numbers, from memory alone."""
        return self.verbs.door.list_numbers(limits.location(request.location))

    async def control_calls(self, _requests: Any, context: Context) -> None:
        """Serve a bridge's stream; its requests are read from the context, one by one.

        It begins before the bridge has said anything: some clients wait for that to speak.
        """
        await context.send_initial_metadata(())
        await self.control.serve(context, lambda tell: self.transport.on_move(context, tell))

    def authorize_early(self, offered: OfferedCall) -> bool:
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
            return emergency is not None
        asking = UnaryAsking(offered, self.count_failure)
        if self.verbs.load.sheds(request):
            asking.fail(Overloaded())
            return True
        return self.quick.ask(request, asking)

    def list_numbers_early(self, offered: OfferedCall) -> bool:
        """Answer from what is kept, without a servicer, unless the client does not read."""
        if offered.is_behind:
            return False
        try:
            request = pb.GetEmergencyNumbersRequest.FromString(offered.message)
            location = limits.location(request.location)
        except (DecodeError, InvalidRequest):
            return False
        offered.answer(self.verbs.door.list_numbers(location))
        return True


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


class _InTime:
    """The verbs, each given what is left of its caller's deadline."""

    def __init__(self, verbs: CallHandlers) -> None:
        self._verbs = verbs

    def __getattr__(self, name: str) -> Method[Any, Any]:
        verb = getattr(self._verbs, name)

        def method(request: Any, context: Context) -> Awaitable[Any]:
            # No coroutine of its own: what it returns is awaited.
            awaited: Awaitable[Any] = verb(request, context.time_remaining())
            return awaited

        return method
