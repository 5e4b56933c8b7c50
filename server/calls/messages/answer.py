"""Answers for the wire, made from what was stored with the decision and from nothing of today's."""

from __future__ import annotations

from callgate.v1 import authorization_pb2 as pb
from policy.decision import Check
from policy.facts import CallKind
from policy.kinds import TRAITS
from server.ledger import Answer
from server.translation.advice import Advice
from server.translation.context import CallContext
from server.translation.parts import set_grant, set_payer, set_refusal, set_time

_MICROS_PER_UNIT = 1_000_000


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
    answer: Answer, context: CallContext, tenant_id: str, *, advice: Advice
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
    response: pb.AuthorizeCallResponse, answer: Answer, context: CallContext, *, advice: Advice
) -> None:
    response.failure_handling.CopyFrom(advice.failure_handling)
    set_grant(response.grant, answer, context, advice=advice)
    if not TRAITS[CallKind(context.asked.kind)].arriving:
        response.dial = context.called_number


def _ledger_check(answer: Answer, context: CallContext, advice: Advice) -> pb.Check:
    """Tell the last check: what the purses that may pay had, in the order they were asked."""
    purses = " ".join(purse.pool_id or purse.kind for purse in context.purses)
    if answer.reason is not None:
        finding = advice.suggestions[answer.reason].help_text
    else:
        finding = f"They pay for {answer.granted_seconds} s."
    return pb.Check(
        rule="purses", passed=answer.reason is None, inputs={"purses": purses}, finding=finding
    )


def _remedy(answer: Answer, context: CallContext, advice: Advice) -> str:
    """Say what would turn the ledger's no into a yes; the rules say it of theirs."""
    if answer.shortfall_micros > 0:
        units, micros = divmod(answer.shortfall_micros, _MICROS_PER_UNIT)
        return f"Top up at least {units}.{micros:06d} {context.currency}."
    assert answer.reason is not None
    return advice.suggestions[answer.reason].remedy
