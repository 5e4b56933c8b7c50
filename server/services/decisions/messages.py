"""Decision records for the wire, and what is asked of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from callgate.v1 import authorization_pb2 as calls_pb
from callgate.v1 import decisions_pb2 as pb
from policy.reasons import Reason
from server.calls.messages.advice import Advice
from server.calls.messages.fields import InvalidRequest, no_such_page
from server.calls.messages.parts import set_money, set_reason, set_time
from server.usage.decisions.finding import FoundDecision, Place

_PLACE = re.compile(r"([0-9]{1,16})\.([!-~]{1,64})\.([0-9]{1,16})")
_OUTCOMES = {
    "grant": pb.DECISION_OUTCOME_GRANT,
    "refusal": pb.DECISION_OUTCOME_REFUSAL,
    "emergency": pb.DECISION_OUTCOME_EMERGENCY,
    "settled": pb.DECISION_OUTCOME_SETTLED,
    "released": pb.DECISION_OUTCOME_RELEASED,
    "ended": pb.DECISION_OUTCOME_ENDED,
}
_OUTCOMES_ASKED = {value: name for name, value in _OUTCOMES.items()} | {0: ""}
# Fields of a record that are fields of the message, by the same name.
_TEXTS = (
    *("decision_id", "tenant_id", "gateway_id", "call_id", "verb", "kind", "payer", "country"),
    *("dialled_number", "calling_number", "far_number", "call_type"),
    *("catalogue_version", "directory_version"),
)
_MONEY = {"shortfall": "shortfall_micros", "held": "held_micros", "debited": "debited_micros"}
_SECONDS = {"granted_duration": "granted_seconds", "used_duration": "used_seconds"}


def read_place(after: str) -> Place | None:
    """Read after which record a page begins. Raises `InvalidRequest`."""
    if not after:
        return None
    found = _PLACE.fullmatch(after)
    if found is None:
        raise no_such_page()
    return Place(int(found[1]), found[2], int(found[3]))


def place_text(place: Place) -> str:
    """Name a record, for the token of the page that begins after it."""
    return f"{place.time_ms}.{place.source}.{place.place}"


def outcome(asked: pb.DecisionOutcome.ValueType) -> str:
    """Read which outcome is meant; empty for any. Raises `InvalidRequest`."""
    if asked not in _OUTCOMES_ASKED:
        raise InvalidRequest("outcome", "one of the outcomes of decisions")
    return _OUTCOMES_ASKED[asked]


def reason(asked: calls_pb.Reason.ValueType) -> str:
    """Read which reason is meant; empty for any. Raises `InvalidRequest`."""
    if not asked:
        return ""
    try:
        return Reason(asked).name
    except ValueError:
        raise InvalidRequest("reason", "one of the reasons of refusals") from None


def set_decision(decision: pb.Decision, found: FoundDecision) -> None:
    """Tell a record."""
    record = found.record
    for name in _TEXTS:
        setattr(decision, name, record.get(name) or "")
    set_time(decision.decide_time, found.place.time_ms)
    decision.outcome = _OUTCOMES.get(record["outcome"], pb.DECISION_OUTCOME_UNSPECIFIED)
    decision.sequence = record.get("sequence", 0)
    decision.account_ids.extend(record.get("account_ids", ()))
    decision.purses.extend(record.get("purses", ()))
    decision.told_again = record.get("repeated", False)
    decision.dry_run = record.get("dry_run", False)
    if known := _reason_of(record):
        decision.reason = calls_pb.Reason.ValueType(known)
    for name, of_record in _MONEY.items():
        if micros := record.get(of_record):
            set_money(getattr(decision, name), micros, record.get("currency", ""))
    for name, of_record in _SECONDS.items():
        if of_record in record:
            getattr(decision, name).FromSeconds(record[of_record])


def set_why(response: pb.GetDecisionResponse, record: Mapping[str, Any], advice: Advice) -> None:
    """Tell why a call was refused, and the checks that were kept."""
    known = _reason_of(record)
    if known is not None:
        refusal = response.refusal
        set_reason(refusal, known, advice)
        refusal.remedy = record.get("remedy") or advice.suggestions[known].remedy
        if record.get("shortfall_micros"):
            set_money(refusal.shortfall, record["shortfall_micros"], record["currency"])
    response.explanation.checks.extend(
        calls_pb.Check(**check) for check in record.get("checks", ())
    )


def _reason_of(record: Mapping[str, Any]) -> Reason | None:
    # A newer engine may have kept one that this one does not know.
    return Reason.__members__.get(record.get("reason", ""))
