"""Answers for the wire, made from what was stored with the decision and from nothing of today's."""

from __future__ import annotations

from callgate.v1 import authorization_pb2 as pb
from policy.decision import Check
from policy.facts import CallKind
from policy.money import written
from policy.payer import TRAITS
from server.calls.messages.advice import Advice
from server.calls.messages.parts import (
    add_usage,
    purse_at,
    set_grant,
    set_money,
    set_payer,
    set_refusal,
    set_time,
)
from server.ledger import Answer
from server.ledger.decision_context import DecisionContext


def explanation_bytes(checks: tuple[Check, ...], remedy: str) -> bytes:
    """Serialise what the rules have to explain, as the part of the answer that it becomes."""
    part = pb.AuthorizeCallResponse(
        explanation=pb.Explanation(
            checks=[
                pb.Check(
                    rule=check.rule,
                    passed=check.passed,
                    inputs=dict(check.inputs),
                    finding=check.finding,
                )
                for check in checks
            ]
        )
    )
    if remedy:
        part.refusal.remedy = remedy
    return part.SerializeToString(deterministic=True)


def authorize_response(
    answer: Answer, context: DecisionContext, tenant_id: str, *, advice: Advice
) -> pb.AuthorizeCallResponse:
    """Build the whole answer to a question about one of `tenant_id`'s calls.

    `context` is what `answer.context` holds, unpacked.
    """
    response = pb.AuthorizeCallResponse(
        decision_id=answer.decision_id,
        called_number=context.called_number,
        call_type=context.call_type,
        catalogue_version=context.catalogue_version,
        directory_version=context.directory_version,
        superseded=answer.superseded,
        origin_assumed=context.origin_assumed,
        far_end_number=context.called_number,
    )
    if answer.explanation:
        response.MergeFromString(answer.explanation)
        if context.purses:
            response.explanation.checks.append(_ledger_check(answer, context, advice))
    set_time(response.decide_time, answer.decide_time_ms)
    _set_implausible(response, answer)
    if context.payer_kind is not None:
        set_payer(response.payer, context, tenant_id)
    if context.country:
        response.destination.country = context.country
        response.destination.label = context.label
    if answer.reason is None and answer.state == "live":
        _set_grant(response, answer, context, advice=advice)
    if answer.reason is not None:
        set_refusal(response.refusal, answer, context, advice=advice)
        if answer.explanation and not response.refusal.remedy:
            response.refusal.remedy = _remedy(answer, context, advice)
    return response


def _set_grant(
    response: pb.AuthorizeCallResponse, answer: Answer, context: DecisionContext, *, advice: Advice
) -> None:
    response.failure_handling.CopyFrom(advice.failure_handling)
    set_grant(response.grant, answer, context, advice=advice)
    if not TRAITS[CallKind(context.asked.kind)].arriving:
        response.dial = context.called_number


def _ledger_check(answer: Answer, context: DecisionContext, advice: Advice) -> pb.Check:
    """Tell the last check: what the purses that may pay had, in the order they were asked."""
    purses = " ".join(purse.pool_id or purse.kind for purse in context.purses)
    if answer.reason is not None:
        finding = advice.suggestions[answer.reason].help_text
    else:
        finding = f"They pay for {answer.granted_seconds} s."
    return pb.Check(
        rule="purses", passed=answer.reason is None, inputs={"purses": purses}, finding=finding
    )


def _remedy(answer: Answer, context: DecisionContext, advice: Advice) -> str:
    """Say what would turn the ledger's no into a yes; the rules say it of theirs."""
    if answer.shortfall_micros > 0:
        least = advice.purchase_micros(answer.shortfall_micros, context.currency)
        return f"Top up at least {written(least, context.currency)} {context.currency}."
    assert answer.reason is not None
    return advice.suggestions[answer.reason].remedy


_LIVE = "live"


def extend_response(
    answer: Answer, context: DecisionContext, *, advice: Advice
) -> pb.ExtendCallResponse:
    """Build the answer to a report that asked for more."""
    response = pb.ExtendCallResponse(
        decision_id=answer.decision_id, superseded=answer.superseded, late=answer.late
    )
    set_time(response.decide_time, answer.decide_time_ms)
    _set_implausible(response, answer)
    for use in answer.uses:
        add_usage(response.usages.add(), use, context)
    if answer.reason is not None:
        set_refusal(response.refusal, answer, context, advice=advice)
    elif answer.state == _LIVE:
        response.failure_handling.CopyFrom(advice.failure_handling)
        set_grant(response.grant, answer, context, advice=advice)
    return response


def settle_response(answer: Answer, context: DecisionContext) -> pb.SettleCallResponse:
    """Build the answer to the end of a call."""
    response = pb.SettleCallResponse(
        decision_id=answer.decision_id, superseded=answer.superseded, late=answer.late
    )
    for use in answer.uses:
        add_usage(response.usages.add(), use, context)
    response.overrun_duration.SetInParent()
    # Of a call that was never granted nobody may have paid a second: that is all beyond it.
    response.overrun_duration.seconds = max(answer.overrun_seconds, answer.unpaid_seconds)
    if answer.unpaid_micros:
        set_money(response.uncollected, answer.unpaid_micros, context.currency)
    set_time(response.settle_time, answer.decide_time_ms)
    _set_implausible(response, answer)
    return response


def _set_implausible(
    response: pb.AuthorizeCallResponse | pb.ExtendCallResponse | pb.SettleCallResponse,
    answer: Answer,
) -> None:
    if answer.implausible_seconds:
        response.implausible_duration.seconds = answer.implausible_seconds


def release_response(answer: Answer, context: DecisionContext) -> pb.ReleaseCallResponse:
    """Build the answer to the end of a call that nobody answered."""
    response = pb.ReleaseCallResponse(decision_id=answer.decision_id, superseded=answer.superseded)
    # The segments of an answer that ended a call are those it gave back.
    credits_ = [s for s in answer.segments if purse_at(context, s.purse_index).kind == "credits"]
    if credits_ and not answer.superseded:
        held_micros = sum(segment.held_micros for segment in credits_)
        set_money(response.released, held_micros, context.currency)
    set_time(response.release_time, answer.decide_time_ms)
    return response
