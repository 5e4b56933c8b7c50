"""What the calls of a client share, and the ways in which a call can have to end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from callgate.client.clock import Clock
from callgate.client.fallback import OwnRules
from callgate.client.reports import Line, Reports
from callgate.errors import CallgateError, NoAnswer
from callgate.v1 import authorization_pb2 as pb

# Nobody who dials an emergency number waits longer than this for an engine that may hang.
EMERGENCY_SECONDS = 0.5


class Why(StrEnum):
    """Why a call has to end."""

    FINAL = "final"  # Its last grant is used up.
    REFUSED = "refused"  # The rules now say no; nothing is held any more.
    ORDERED = "ordered"  # The engine ordered it.
    UNANSWERED = "unanswered"  # The engine is away, and what may be talked without it is used up.
    ENDED = "ended"  # The call is over for the engine, or it does not accept its questions.


@dataclass(frozen=True, slots=True)
class Ending:
    """That a call has to end now, and why: connect the caller to `redirect_to`, if it is set."""

    why: Why
    redirect_to: str = ""
    reason: pb.Reason.ValueType = pb.REASON_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call of a client works with."""

    line: Line
    own_rules: OwnRules
    reports: Reports
    clock: Clock
    gateway_id: str
    deadline_seconds: float
    # What was begun and has to come to its end, whoever waits for it.
    unfinished: set[asyncio.Task[None]] = field(default_factory=set)

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something to its end, also when whoever waits for it is cancelled."""
        task = asyncio.create_task(work)
        self.unfinished.add(task)
        task.add_done_callback(self.unfinished.discard)
        await asyncio.shield(task)

    def filled(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallRequest:
        """Fill in what a question leaves to the client: gateway, call id, sequence."""
        filled = pb.AuthorizeCallRequest()
        filled.CopyFrom(question)
        filled.gateway_id = question.gateway_id or self.gateway_id
        if not question.dry_run:
            filled.call_id = question.call_id or secrets.token_hex(16)
            filled.sequence = question.sequence or 1
        return filled

    def filled_legs(self, question: pb.AuthorizeCallsRequest) -> pb.AuthorizeCallsRequest:
        """Fill in the gateway and the sequence of each leg; its call id is the caller's to know."""
        filled = pb.AuthorizeCallsRequest()
        filled.CopyFrom(question)
        for leg in filled.legs:
            leg.gateway_id = leg.gateway_id or self.gateway_id
            leg.sequence = leg.sequence or 1
        return filled

    async def admit(
        self, question: pb.AuthorizeCallRequest
    ) -> tuple[pb.AuthorizeCallResponse, bool]:
        """Ask; where nobody answers, by the gateway's own rules. True if the engine answered.

        Raises `Mistake`, and `NoAnswer` where the gateway fails closed.
        """
        answer = self.own_rules.answer(question)
        is_emergency = answer is not None and answer.grant.emergency
        try:
            seconds = EMERGENCY_SECONDS if is_emergency else None
            return await self.line.authorize_call(question, deadline_seconds=seconds), True
        except CallgateError as error:
            # An emergency passes whatever is wrong.
            if answer is None or not (is_emergency or isinstance(error, NoAnswer)):
                raise
            return answer, False
