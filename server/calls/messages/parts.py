"""Parts that several answers share: purses, money, times, a grant, a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.money_pb2 import Money
from policy.decision import PayerKind
from policy.rating import price_micros
from policy.reasons import Reason
from server.calls.messages.advice import Advice
from server.ledger import Answer, Segment, Use
from server.ledger.decision_context import DecisionContext, ToldPurse

_MS = 1_000
_NANOS_PER_MS = 1_000_000

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
_UNKNOWN_PURSE = ToldPurse("credits", "")


def set_grant(grant: pb.Grant, answer: Answer, context: DecisionContext, *, advice: Advice) -> None:
    """Tell a grant as it was stored."""
    if answer.segments:
        set_segments(grant, answer.segments, context)
    else:
        # A report that wants nothing more leaves nothing granted beyond it.
        grant.granted_duration.seconds = answer.used_seconds
    set_time(grant.report_by_time, answer.report_by_ms)
    set_time(grant.expire_time, answer.expire_time_ms)
    if answer.final:
        grant.final = True
        grant.final_action = advice.final_action
        grant.redirect_to = advice.redirect_to
    set_price(grant, context)
    _set_remaining(grant.remaining, answer, context.currency)


def set_segments(grant: pb.Grant, segments: Sequence[Segment], context: DecisionContext) -> None:
    """Tell what pays for which stretch of a call, and so how long it may last."""
    grant.granted_duration.seconds = segments[-1].to_second
    for segment in segments:
        told = purse_at(context, segment.purse_index)
        part = grant.segments.add()
        set_purse(part.purse, told)
        part.start_offset.seconds = segment.from_second
        part.end_offset.seconds = segment.to_second
        if told.kind == "credits":
            set_money(part.held, segment.held_micros, context.currency)
    grant.purse.CopyFrom(grant.segments[0].purse)


def set_refusal(
    refusal: pb.Refusal, answer: Answer, context: DecisionContext, *, advice: Advice
) -> None:
    """Tell a refusal as it was stored."""
    reason = answer.reason
    assert reason is not None
    set_reason(refusal, reason, advice)
    if answer.shortfall_micros:
        set_money(refusal.shortfall, answer.shortfall_micros, context.currency)


def set_reason(refusal: pb.Refusal, reason: Reason, advice: Advice) -> None:
    """Tell a reason, and what it suggests."""
    suggestion = advice.suggestions[reason]
    # The numbers of the two enums are the same; a test holds them together.
    refusal.reason = pb.Reason.ValueType(reason)
    refusal.sip_status = suggestion.sip_status
    refusal.q850_cause = suggestion.q850_cause
    refusal.help_text = suggestion.help_text


def set_payer(payer: pb.Payer, context: DecisionContext, tenant_id: str) -> None:
    """Tell whose licences and purses decided."""
    assert context.payer_kind is not None
    payer.kind = _PAYER_KINDS[context.payer_kind]
    payer.tenant_id = tenant_id
    if context.payer_kind is not PayerKind.TENANT:
        payer.account_id = context.account_id


def purse_at(context: DecisionContext, index: int) -> ToldPurse:
    """Find a purse of a call by its place.

    A call may have begun under a context that told of none.
    """
    return context.purses[index] if index < len(context.purses) else _UNKNOWN_PURSE


def add_usage(usage: pb.Usage, use: Use, context: DecisionContext) -> None:
    """Tell what one purse paid of a call."""
    told = purse_at(context, use.purse_index)
    set_purse(usage.purse, told)
    usage.used_duration.SetInParent()
    usage.used_duration.seconds = use.seconds
    set_money(usage.debited, use.micros, context.currency)
    fee_micros = 0
    if told.kind == "credits" and context.rate is not None:
        fee_micros = max(0, use.micros - price_micros(context.rate, use.seconds))
    set_money(usage.connection_fee, fee_micros, context.currency)


def set_purse(purse: pb.Purse, told: ToldPurse) -> None:
    """Name a purse."""
    purse.kind = _PURSE_KINDS[told.kind]
    purse.capability = told.capability
    purse.pool_id = told.pool_id
    purse.counter = told.counter
    purse.period = told.period


def set_money(money: Money, micros: int, currency: str) -> None:
    """Write an amount; zero is written, not left out."""
    money.micros = micros
    money.currency_code = currency


def set_time(timestamp: Timestamp, time_ms: int) -> None:
    """Write a time in milliseconds since 1970, UTC."""
    timestamp.seconds, milliseconds = divmod(time_ms, _MS)
    timestamp.nanos = milliseconds * _NANOS_PER_MS


def set_price(grant: pb.Grant, context: DecisionContext) -> None:
    """Tell what credits cost, also while a pool pays."""
    rate = context.rate
    if rate is None:
        return
    price = grant.price
    price.rate_id = rate.rate_id
    set_money(price.per_minute, rate.micros_per_minute, rate.currency)
    set_money(price.connection_fee, rate.connection_fee_micros, rate.currency)
    price.first_increment.seconds = rate.first_increment_seconds
    price.next_increment.seconds = rate.next_increment_seconds


def _set_remaining(remaining: pb.Remaining, answer: Answer, currency: str) -> None:
    remaining.SetInParent()
    if answer.pool_left_seconds is not None:
        remaining.pool_duration.SetInParent()
        remaining.pool_duration.seconds = answer.pool_left_seconds
    if answer.available_micros is not None:
        set_money(remaining.available, answer.available_micros, currency)
