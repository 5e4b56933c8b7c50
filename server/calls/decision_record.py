"""A decision as it is remembered, and the words of its record."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from policy.decision import EmergencyGrant
from policy.facts import Call
from server.calls.cached_record import time_text
from server.ledger import Answer
from server.ledger.decision_context import DecisionContext
from server.observability.masks import Masks

# The fields of an emergency were not checked, and may hold anything.
_LONGEST_FIELD = 255

_encode = msgspec.json.Encoder().encode


class DecisionRecord(NamedTuple):
    """A decision about a call: what was asked, what was answered, how long it took."""

    call: Call
    gateway_id: str
    call_id: str
    sequence: int
    dry_run: bool
    answer: Answer
    # What `answer.context` holds, unpacked.
    context: DecisionContext
    # The answer was given before; the question was asked again.
    repeated: bool
    duration_us: int

    @property
    def is_grant(self) -> bool:
        """Whether it is no refusal."""
        return self.answer.reason is None

    def line(self, masks: Masks) -> bytes:
        """Write its record."""
        return _encode(wording(self, masks)) + b"\n"


class Reported(NamedTuple):
    """A report about a call that was granted before: "extend", "settle" or "release"."""

    verb: str
    tenant_id: str
    gateway_id: str
    call_id: str
    sequence: int
    answer: Answer
    # What `answer.context` holds, unpacked.
    context: DecisionContext
    repeated: bool
    duration_us: int

    @property
    def is_grant(self) -> bool:
        """Whether it is no refusal."""
        return self.answer.reason is None

    def line(self, masks: Masks) -> bytes:
        """Write its record."""
        return _encode(wording(self, masks)) + b"\n"


class DecidedEmergency(NamedTuple):
    """An emergency grant, with what else the question said, unchecked."""

    time_ms: int
    tenant_id: str
    account_id: str
    gateway_id: str
    call_id: str
    calling_number: str
    grant: EmergencyGrant

    @property
    def is_grant(self) -> bool:
        """Nothing else tells of it: it is as dear as a refusal."""
        return False

    def line(self, masks: Masks) -> bytes:
        """Write its record."""
        return _encode(wording(self, masks)) + b"\n"


def wording(
    decided: DecisionRecord | Reported | DecidedEmergency, masks: Masks
) -> dict[str, object]:
    """Put a decision into words and figures, numbers and accounts hidden as the masks say."""
    if isinstance(decided, DecidedEmergency):
        return _emergency(decided, masks)
    if isinstance(decided, Reported):
        return _reported(decided, masks)
    far_number = decided.context.called_number
    asked = _asked(decided, masks)
    # To hash a number takes a while, and most are dialled as the rules read them.
    if far_number == decided.call.called_number:
        far = {
            "far_number": asked["dialled_number"],
            "far_number_hash": asked["dialled_number_hash"],
        }
    else:
        far = _number("far_number", far_number, masks)
    return {
        "verb": "authorize",
        **asked,
        **far,
        **_answered(decided.answer, decided.context, masks),
        "repeated": decided.repeated,
        "duration_us": decided.duration_us,
    }


def _asked(decided: DecisionRecord, masks: Masks) -> dict[str, object]:
    call = decided.call
    return {
        "time": time_text(decided.answer.decide_time_ms),
        "tenant_id": call.tenant_id,
        "gateway_id": decided.gateway_id,
        "call_id": decided.call_id,
        "sequence": decided.sequence,
        "dry_run": decided.dry_run,
        "kind": call.kind,
        "account_ids": [masks.account(one) for one in call.account_ids],
        **_number("dialled_number", call.called_number, masks),
        **_number("calling_number", call.calling_number, masks),
    }


def _answered(answer: Answer, context: DecisionContext, masks: Masks) -> dict[str, object]:
    said = {
        "decision_id": answer.decision_id,
        "outcome": "grant" if answer.reason is None else "refusal",
        "payer": masks.account(context.account_id),
        "payer_kind": context.payer_kind,
        "country": context.country,
        "call_type": context.call_type,
        "catalogue_version": context.catalogue_version,
        "directory_version": context.directory_version,
        "superseded": answer.superseded,
    }
    if answer.reason is not None:
        return {
            **said,
            "reason": answer.reason.name,
            "shortfall_micros": answer.shortfall_micros,
            "currency": context.currency,
        }
    # A call that was announced anew may be paid by purses that are not found today.
    purses = [context.purses[s.purse_index : s.purse_index + 1] for s in answer.segments]
    return {
        **said,
        "granted_seconds": answer.granted_seconds,
        "final": answer.final,
        "purses": [purse.pool_id or purse.kind for (purse,) in filter(None, purses)],
        "held_micros": sum(segment.held_micros for segment in answer.segments),
        "currency": context.currency,
    }


def _reported(reported: Reported, masks: Masks) -> dict[str, object]:
    answer, context = reported.answer, reported.context
    return {
        "verb": reported.verb,
        "time": time_text(answer.decide_time_ms),
        "tenant_id": reported.tenant_id,
        "gateway_id": reported.gateway_id,
        "call_id": reported.call_id,
        "sequence": reported.sequence,
        **_number("far_number", context.called_number, masks),
        **_answered(answer, context, masks),
        "outcome": _outcome(answer),
        "used_seconds": answer.used_seconds,
        "debited_micros": sum(use.micros for use in answer.uses),
        "overrun_seconds": answer.overrun_seconds,
        "unpaid_micros": answer.unpaid_micros,
        "implausible_seconds": answer.implausible_seconds,
        "late": answer.late,
        "repeated": reported.repeated,
        "duration_us": reported.duration_us,
    }


def _outcome(answer: Answer) -> str:
    if answer.reason is not None:
        return "refusal"
    return "grant" if answer.state == "live" else answer.state


def _emergency(decided: DecidedEmergency, masks: Masks) -> dict[str, object]:
    account_id = decided.account_id[:_LONGEST_FIELD]
    return {
        "time": time_text(decided.time_ms),
        "tenant_id": decided.tenant_id[:_LONGEST_FIELD],
        "gateway_id": decided.gateway_id[:_LONGEST_FIELD],
        "call_id": decided.call_id[:_LONGEST_FIELD],
        "account_ids": [masks.account(account_id)] if account_id else [],
        **_number("calling_number", decided.calling_number[:_LONGEST_FIELD], masks),
        "outcome": "emergency",
        "dial_as": decided.grant.dial_as,
        "country": decided.grant.location,
    }


def _number(name: str, number: str, masks: Masks) -> dict[str, object]:
    return {name: masks.number(number), f"{name}_hash": masks.hash(number)}
