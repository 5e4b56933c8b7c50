"""The AuthorizationService: emergencies at the door, all else translated and decided."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from server.decider import Decider
from server.emergency import EmergencyDoor
from server.errors import Context
from server.observation.metrics import Metrics
from server.translation import limits
from server.translation.advice import Advice
from server.translation.answer import authorize_response
from server.translation.question import call_question
from server.translation.wire import parse_question, serialize_answer
from server.transport import TransportServer
from server.unary import Unary, serve_unary

SERVICE = pb.DESCRIPTOR.services_by_name["AuthorizationService"].full_name


@dataclass(frozen=True, slots=True)
class Authorization:
    """Answers what `authorization.proto` promises."""

    door: EmergencyDoor
    decider: Decider
    advice: Advice
    metrics: Metrics

    async def authorize_call(
        self, request: pb.AuthorizeCallRequest, context: Context
    ) -> pb.AuthorizeCallResponse:
        """Admit a call and reserve what pays for its first slice, or refuse it."""
        emergency = self.door.grant(request)
        if emergency is not None:
            return emergency
        decided = await self.decider.decide(call_question(request), context.time_remaining())
        tenant_id = decided.call.tenant_id
        return authorize_response(decided.answer, decided.context, tenant_id, advice=self.advice)

    async def get_emergency_numbers(
        self, request: pb.GetEmergencyNumbersRequest, _context: Context
    ) -> pb.GetEmergencyNumbersResponse:
        """List emergency numbers, from memory alone."""
        return self.door.list_numbers(limits.location(request.location))

    def register(self, target: TransportServer) -> None:
        """Serve all of it."""
        methods = {
            "AuthorizeCall": Unary(self.authorize_call, parse_question, serialize_answer),
            "GetEmergencyNumbers": Unary(
                self.get_emergency_numbers,
                pb.GetEmergencyNumbersRequest.FromString,
                pb.GetEmergencyNumbersResponse.SerializeToString,
            ),
        }
        serve_unary(target, SERVICE, methods, count_failure=self.metrics.count_failure)
