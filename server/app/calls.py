"""Putting together what answers the verbs of a call, from the parts that a process has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from callgate.v1 import authorization_pb2 as pb
from policy.reasons import Reason
from server.app.money import rules_of
from server.calls.announced import Announcing, FindArchived
from server.calls.authorize import Authorizer
from server.calls.emergency import EmergencyDoor
from server.calls.handlers import CallHandlers
from server.calls.legs import Legs
from server.calls.listing import Listing
from server.calls.load_shedding import LoadShedder
from server.calls.messages.advice import Advice
from server.calls.opening import Opening
from server.calls.settle import CallReports
from server.facts import FactsInUse
from server.facts.catching_up import CatchingUp
from server.ledger import Ledger
from server.ledger.deadline import Deadline
from server.ledger.running_calls import CallReader
from server.observability.metrics import Metrics
from server.observability.records import Records
from server.services.errors import counted_status
from server.settings import FailureAction, FinalAction, Settings

_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What verbs lean on; an engine has all of it, a rehearsal stands in for some.

    `ledger_is_up` and `journal_is_full` are as in `Authorizer`. `now_ms` is the ledger's clock;
    `now_without_store_ms` is what goes by while that cannot be asked.
    """

    settings: Settings
    facts: FactsInUse
    ledger: Ledger
    ledger_is_up: Callable[[], bool]
    journal_is_full: Callable[[str], bool]
    calls: CallReader
    find_archived: FindArchived
    load: LoadShedder
    records: Records
    metrics: Metrics
    now_ms: Callable[[], int]
    now_without_store_ms: Callable[[], int]
    deadline_seconds: float
    opening: Opening


def assemble_verbs(parts: CallServices) -> CallHandlers:
    """Put together the verbs of one process, and the one decider that all of them ask."""
    settings = parts.settings
    authorizer = _decider(parts)
    announcing = Announcing(parts.find_archived, parts.now_ms, settings.call_id_days * _MS_PER_DAY)
    door = EmergencyDoor(
        parts.facts,
        parts.records,
        parts.metrics,
        parts.now_without_store_ms,
        settings.default_locations,
    )
    return CallHandlers(
        door=door,
        authorizer=authorizer,
        announcing=announcing,
        reporter=CallReports(authorizer, announcing, settings.charge_unknown_calls),
        legs=Legs(authorizer, announcing),
        listing=Listing(authorizer, parts.calls),
        advice=advice_of(settings),
        load=parts.load,
        count_failure=partial(counted_status, count=parts.metrics.count_failure),
    )


def _decider(parts: CallServices) -> Authorizer:
    return Authorizer(
        facts=parts.facts,
        catching_up=CatchingUp(parts.facts, parts.deadline_seconds),
        ledger=parts.ledger,
        ledger_is_up=parts.ledger_is_up,
        journal_is_full=parts.journal_is_full,
        now_ms=parts.now_ms,
        deadline=Deadline(parts.deadline_seconds),
        slice_seconds=parts.settings.slice_seconds,
        opening=parts.opening,
        records=parts.records,
        metrics=parts.metrics,
    )


_FAILURE_ACTIONS = {
    FailureAction.END: pb.FAILURE_ACTION_END,
    FailureAction.CONTINUE: pb.FAILURE_ACTION_CONTINUE,
}
_FINAL_ACTIONS = {
    FinalAction.END: pb.FINAL_ACTION_END,
    FinalAction.REDIRECT: pb.FINAL_ACTION_REDIRECT,
}


def advice_of(settings: Settings) -> Advice:
    """Build the advice of these settings, once."""
    failure_handling = pb.FailureHandling(action=_FAILURE_ACTIONS[settings.failure_action])
    if settings.failure_action is FailureAction.CONTINUE:
        failure_handling.max_duration.seconds = settings.failure_seconds
    else:
        failure_handling.max_duration.seconds = 0
    redirects = settings.final_action is FinalAction.REDIRECT
    suggestions = {reason: reason.suggestion for reason in Reason}
    for reason, told in settings.suggestions.items():
        suggestions[reason] = replace(
            suggestions[reason], sip_status=told.sip_status, q850_cause=told.q850_cause
        )
    return Advice(
        failure_handling=failure_handling,
        final_action=_FINAL_ACTIONS[settings.final_action],
        redirect_to=settings.redirect_to if redirects else "",
        suggestions=suggestions,
        purchase_micros=rules_of(settings).purchase_micros,
    )
