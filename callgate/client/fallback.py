"""What a gateway decides itself, when the engine does not: the first question, and emergencies."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.client.emergency import EmergencyNumbers, emergency_answer
from callgate.v1 import authorization_pb2 as pb

DEFAULT_OPEN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class FailClosed:
    """A call whose first question nobody answers is not placed."""


@dataclass(frozen=True, slots=True)
class FailOpen:
    """A call whose first question nobody answers is placed, for at most `max_seconds` of talk.

    It is reported when the engine is back, and charged as far as rules and purses allow then: what
    the rules would have refused is the gateway's loss.
    """

    max_seconds: int = DEFAULT_OPEN_SECONDS


FirstQuestion = FailClosed | FailOpen


@dataclass(frozen=True, slots=True)
class OwnRules:
    """Answers a first question in the engine's place, if the rules of this gateway allow it."""

    first_question: FirstQuestion
    emergency_numbers: EmergencyNumbers

    def answer(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse | None:
        """Return a grant, or None where the gateway fails closed."""
        dial_as = self.emergency_numbers.dial_as(question.called_number, question.location)
        if dial_as is not None:
            return emergency_answer(dial_as)
        if isinstance(self.first_question, FailClosed):
            return None
        answer = pb.AuthorizeCallResponse(grant=pb.Grant(final=True))
        answer.grant.granted_duration.seconds = self.first_question.max_seconds
        answer.grant.final_action = pb.FINAL_ACTION_END
        return answer
