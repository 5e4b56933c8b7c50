"""Answers to reports for the wire, made from what was stored with them and nothing of today's."""

from __future__ import annotations

from callgate.v1 import authorization_pb2 as pb
from server.ledger import Answer
from server.translation.advice import Advice
from server.translation.context import CallContext
from server.translation.parts import (
    add_usage,
    purse_at,
    set_grant,
    set_money,
    set_refusal,
    set_time,
)

_LIVE = "live"


def extend_response(
    answer: Answer, context: CallContext, *, advice: Advice
) -> pb.ExtendCallResponse:
    """Build the answer to a report that asked for more."""
    response = pb.ExtendCallResponse(
        decision_id=answer.decision_id, superseded=answer.superseded, late=answer.late
    )
    set_time(response.decide_time, answer.decide_time_ms)
    for use in answer.uses:
        add_usage(response.usages.add(), use, context)
    if answer.reason is not None:
        set_refusal(response.refusal, answer, context, advice=advice)
    elif answer.state == _LIVE:
        response.failure_handling.CopyFrom(advice.failure_handling)
        set_grant(response.grant, answer, context, advice=advice)
    return response


def settle_response(answer: Answer, context: CallContext) -> pb.SettleCallResponse:
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
    return response


def release_response(answer: Answer, context: CallContext) -> pb.ReleaseCallResponse:
    """Build the answer to the end of a call that nobody answered."""
    response = pb.ReleaseCallResponse(decision_id=answer.decision_id, superseded=answer.superseded)
    # The segments of an answer that ended a call are those it gave back.
    credits_ = [s for s in answer.segments if purse_at(context, s.purse_index).kind == "credits"]
    if credits_ and not answer.superseded:
        held_micros = sum(segment.held_micros for segment in credits_)
        set_money(response.released, held_micros, context.currency)
    set_time(response.release_time, answer.decide_time_ms)
    return response
