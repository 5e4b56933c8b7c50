"""Each verb of the contract, from request to response, for unary calls and streams alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from server.access import check_admitted, find_tenant
from server.calls.announced import Announcing, before_asking
from server.calls.authorize import Authorizer
from server.calls.decision_record import DecisionRecord
from server.calls.emergency import EmergencyDoor
from server.calls.legs import Legs
from server.calls.listing import Listing, list_question, list_response
from server.calls.load_shedding import LoadShedder
from server.calls.messages import fields as limits
from server.calls.messages.advice import Advice
from server.calls.messages.answer import (
    authorize_response,
    extend_response,
    release_response,
    settle_response,
)
from server.calls.messages.question import call_question, check_legs, leg_questions, naming_leg
from server.calls.messages.report import extend_report, release_report, settle_report
from server.calls.settle import CallReports
from server.ledger import CallUnknown


@dataclass(frozen=True, slots=True)
class CallHandlers:
    """Answers questions and reports. What fails raises what `services.errors` knows.

    `remaining_seconds` is what is left of the caller's deadline, None without one.
    """

    door: EmergencyDoor
    authorizer: Authorizer
    announcing: Announcing
    reporter: CallReports
    legs: Legs
    listing: Listing
    advice: Advice
    load: LoadShedder
    # Told what fails beside an answer that is given all the same.
    count_failure: Callable[[Exception], object]

    async def authorize_call(
        self, request: pb.AuthorizeCallRequest, remaining_seconds: float | None
    ) -> pb.AuthorizeCallResponse:
        """Admit a call and reserve what pays for its first slice, or refuse it."""
        emergency = self.door.grant(request)
        if emergency is not None:
            return emergency
        check_admitted()
        if request.HasField("running_call"):
            self.load.check_report()
        else:
            self.load.check_call()
        question = call_question(request)
        try:
            before = before_asking(question)
            return self._told(await self.authorizer.decide(question, remaining_seconds, before))
        except CallUnknown:
            call, _ = find_tenant(question.call, self.authorizer.facts.current.directory)
        debited = await self.announcing.debited(question, call.tenant_id)
        return self._told(await self.authorizer.decide(question, remaining_seconds, debited))

    async def authorize_calls(
        self,
        request: pb.AuthorizeCallsRequest,
        remaining_seconds: float | None,
        gateway_id: str = "",
    ) -> pb.AuthorizeCallsResponse:
        """Admit several legs in one step; emergencies first and whatever becomes of the others.

        `gateway_id` is that of the stream they came on, empty where they came on none.
        """
        check_legs(request)
        answers = {place: self.door.grant(leg) for place, leg in enumerate(request.legs)}
        granted = {place: answer for place, answer in answers.items() if answer is not None}
        others = [place for place, answer in answers.items() if answer is None]
        try:
            for place in others if gateway_id else ():
                with naming_leg(place):
                    limits.stream_gateway(request.legs[place], gateway_id)
            told = await self._other_legs(request, others, remaining_seconds)
        except Exception as error:
            if not granted:
                raise
            # An emergency never fails with its neighbours; those are asked for again alone.
            self.count_failure(error)
            told = {}
        blank = pb.AuthorizeCallResponse()
        return pb.AuthorizeCallsResponse(
            answers=[
                granted.get(place) or told.get(place) or blank for place in range(len(answers))
            ]
        )

    async def list_calls(
        self, request: pb.ListCallsRequest, remaining_seconds: float | None
    ) -> pb.ListCallsResponse:
        """List running calls of one tenant."""
        self.load.check_call()
        wanted = list_question(request)
        page = await self.listing.page(wanted, remaining_seconds)
        return list_response(wanted.tenant_id, page)

    async def extend_call(
        self, request: pb.ExtendCallRequest, remaining_seconds: float | None
    ) -> pb.ExtendCallResponse:
        """Debit what was used, and take more."""
        self.load.check_report()
        reported = await self.reporter.extend(extend_report(request), remaining_seconds)
        return extend_response(reported.answer, reported.context, advice=self.advice)

    async def settle_call(
        self, request: pb.SettleCallRequest, remaining_seconds: float | None
    ) -> pb.SettleCallResponse:
        """Debit all that a call used, and give back the rest."""
        self.load.check_report()
        reported = await self.reporter.settle(settle_report(request), remaining_seconds)
        return settle_response(reported.answer, reported.context)

    async def release_call(
        self, request: pb.ReleaseCallRequest, remaining_seconds: float | None
    ) -> pb.ReleaseCallResponse:
        """Give back all that a call holds: nobody answered."""
        self.load.check_report()
        reported = await self.reporter.release(release_report(request), remaining_seconds)
        return release_response(reported.answer, reported.context)

    async def _other_legs(
        self,
        request: pb.AuthorizeCallsRequest,
        places: list[int],
        remaining_seconds: float | None,
    ) -> dict[int, pb.AuthorizeCallResponse]:
        if not places:
            return {}
        check_admitted()
        self.load.check_call()
        decided = await self.legs.decide(
            leg_questions(request, places),
            remaining_seconds,
            all_or_nothing=request.mode == pb.LEG_MODE_ALL_OR_NOTHING,
        )
        return {place: self._told(one) for place, one in decided.items()}

    def _told(self, decided: DecisionRecord) -> pb.AuthorizeCallResponse:
        tenant_id = decided.call.tenant_id
        return authorize_response(decided.answer, decided.context, tenant_id, advice=self.advice)
