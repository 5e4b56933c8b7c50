"""What answers advise a gateway to do: the same for all calls, from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from callgate.v1 import authorization_pb2 as pb
from policy.decision import Reason
from policy.suggestion import SUGGESTIONS, Suggestion
from server.settings import FailureAction, FinalAction, Settings

_FAILURE_ACTIONS = {
    FailureAction.END: pb.FAILURE_ACTION_END,
    FailureAction.CONTINUE: pb.FAILURE_ACTION_CONTINUE,
}
_FINAL_ACTIONS = {
    FinalAction.END: pb.FINAL_ACTION_END,
    FinalAction.REDIRECT: pb.FINAL_ACTION_REDIRECT,
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What every answer tells a gateway to do; the same for all calls, from the settings."""

    failure_handling: pb.FailureHandling
    final_action: pb.FinalAction.ValueType
    redirect_to: str
    suggestions: Mapping[Reason, Suggestion]


def advice_of(settings: Settings) -> Advice:
    """Build the advice of these settings, once."""
    failure_handling = pb.FailureHandling(action=_FAILURE_ACTIONS[settings.failure_action])
    if settings.failure_action is FailureAction.CONTINUE:
        failure_handling.max_duration.seconds = settings.failure_seconds
    else:
        failure_handling.max_duration.seconds = 0
    redirects = settings.final_action is FinalAction.REDIRECT
    suggestions = dict(SUGGESTIONS)
    for reason, told in settings.suggestions.items():
        suggestions[reason] = replace(
            suggestions[reason], sip_status=told.sip_status, q850_cause=told.q850_cause
        )
    return Advice(
        failure_handling=failure_handling,
        final_action=_FINAL_ACTIONS[settings.final_action],
        redirect_to=settings.redirect_to if redirects else "",
        suggestions=suggestions,
    )
