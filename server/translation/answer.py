"""Answers for the wire, made from what was stored with the decision and from nothing of today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.money_pb2 import Money
from policy.decision import Check, PayerKind, Reason
from policy.suggestion import SUGGESTIONS, Suggestion
from server.ledger import Answer
from server.settings import FailureAction, FinalAction, Settings
from server.translation.context import CallContext, ToldPurse

_MS = 1_000
_NANOS_PER_MS = 1_000_000
_MICROS_PER_UNIT = 1_000_000

_PAYER_KINDS = {
    PayerKind.USER: pb.PAYER_KIND_USER,
    PayerKind.ORGANIZER: pb.PAYER_KIND_ORGANIZER,
    PayerKind.RESOURCE_ACCOUNT: pb.PAYER_KIND_RESOURCE_ACCOUNT,
    PayerKind.TENANT: pb.PAYER_KIND_TENANT,
}
_PURSE_KINDS = {
    "free": pb.PURSE_KIND_FREE,
    "pool": pb.PURSE_KIND_POOL,
    "credits": pb.PURSE_KIND_CREDITS,
}
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
    )
    if answer.explanation:
        response.MergeFromString(answer.explanation)
        if context.purses:
            response.explanation.checks.append(_ledger_check(answer, context, advice))
    _set_time(response.decide_time, answer.decide_time_ms)
    if context.payer_kind is not None:
        _set_payer(response.payer, context, tenant_id)
    if context.country:
        response.destination.country = context.country
        response.destination.label = context.label
    if answer.reason is None:
        response.failure_handling.CopyFrom(advice.failure_handling)
        _set_grant(response.grant, answer, context, advice=advice)
    else:
        _set_refusal(response.refusal, answer, context, advice=advice)
        if answer.explanation and not response.refusal.remedy:
            response.refusal.remedy = _remedy(answer, context, advice)
    return response


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


def _set_grant(grant: pb.Grant, answer: Answer, context: CallContext, *, advice: Advice) -> None:
    grant.granted_duration.seconds = answer.granted_seconds
    for segment in answer.segments:
        told = context.purses[segment.purse_index]
        part = grant.segments.add()
        _set_purse(part.purse, told)
        part.start_offset.seconds = segment.from_second
        part.end_offset.seconds = segment.to_second
        if told.kind == "credits":
            _set_money(part.held, segment.held_micros, context.currency)
    if answer.segments:
        grant.purse.CopyFrom(grant.segments[0].purse)
    _set_time(grant.report_by_time, answer.report_by_ms)
    _set_time(grant.expire_time, answer.expire_time_ms)
    if answer.final:
        grant.final = True
        grant.final_action = advice.final_action
        grant.redirect_to = advice.redirect_to
    _set_price(grant, context)
    _set_remaining(grant.remaining, answer, context.currency)


def _set_price(grant: pb.Grant, context: CallContext) -> None:
    rate = context.rate
    if rate is None:
        return
    price = grant.price
    price.rate_id = rate.rate_id
    _set_money(price.per_minute, rate.micros_per_minute, rate.currency)
    _set_money(price.connection_fee, rate.connection_fee_micros, rate.currency)
    price.first_increment.seconds = rate.first_increment_seconds
    price.next_increment.seconds = rate.next_increment_seconds


def _set_remaining(remaining: pb.Remaining, answer: Answer, currency: str) -> None:
    remaining.SetInParent()
    if answer.pool_left_seconds is not None:
        remaining.pool_duration.SetInParent()
        remaining.pool_duration.seconds = answer.pool_left_seconds
    if answer.available_micros is not None:
        _set_money(remaining.available, answer.available_micros, currency)


def _set_refusal(
    refusal: pb.Refusal, answer: Answer, context: CallContext, *, advice: Advice
) -> None:
    reason = answer.reason
    assert reason is not None
    suggestion = advice.suggestions[reason]
    # The numbers of the two enums are the same; a test holds them together.
    refusal.reason = pb.Reason.ValueType(reason)
    refusal.sip_status = suggestion.sip_status
    refusal.q850_cause = suggestion.q850_cause
    refusal.help_text = suggestion.help_text
    if answer.shortfall_micros:
        _set_money(refusal.shortfall, answer.shortfall_micros, context.currency)


def _remedy(answer: Answer, context: CallContext, advice: Advice) -> str:
    """Say what would turn the ledger's no into a yes; the rules say it of theirs."""
    if answer.shortfall_micros > 0:
        units, micros = divmod(answer.shortfall_micros, _MICROS_PER_UNIT)
        return f"Top up at least {units}.{micros:06d} {context.currency}."
    assert answer.reason is not None
    return advice.suggestions[answer.reason].remedy


def _set_payer(payer: pb.Payer, context: CallContext, tenant_id: str) -> None:
    assert context.payer_kind is not None
    payer.kind = _PAYER_KINDS[context.payer_kind]
    payer.tenant_id = tenant_id
    if context.payer_kind is not PayerKind.TENANT:
        payer.account_id = context.account_id


def _set_purse(purse: pb.Purse, told: ToldPurse) -> None:
    purse.kind = _PURSE_KINDS[told.kind]
    purse.capability = told.capability
    purse.pool_id = told.pool_id
    purse.counter = told.counter
    purse.period = told.period


def _set_money(money: Money, micros: int, currency: str) -> None:
    money.micros = micros
    money.currency_code = currency


def _set_time(timestamp: Timestamp, time_ms: int) -> None:
    timestamp.seconds, milliseconds = divmod(time_ms, _MS)
    timestamp.nanos = milliseconds * _NANOS_PER_MS
