"""Answers in the words in which cases expect them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceResponse
from callgate.v1.money_pb2 import Money
from policy.money import written

Words = Mapping[str, Any]

_ERROR = "error"
_GRANTING = frozenset(
    {
        "granted",
        "final",
        "pays",
        "segments",
        "held",
        "rate",
        "connection_fee",
        "currency",
        "left",
        "pool_left",
        "refused",
        "shortfall",
        "sip",
        "q850",
        _ERROR,
    }
)
# What may be expected of each verb. A word that an answer has nothing for is not fulfilled.
EXPECTABLE: Mapping[str, frozenset[str]] = {
    "authorize": _GRANTING
    | {"emergency", "payer", "call_type", "e164", "country", "remedy", "origin_assumed"},
    "extend": _GRANTING | {"charged", "late"},
    "settle": frozenset({"charged", "paid_by", "overrun", "uncollected", "late", _ERROR}),
    "release": frozenset({"released", _ERROR}),
    "balance": frozenset({"balance", "available", "reserved", "debited", _ERROR}),
}

_KINDS = {
    pb.PURSE_KIND_FREE: "free",
    pb.PURSE_KIND_POOL: "pool",
    pb.PURSE_KIND_CREDITS: "credits",
}


def tell_authorized(answer: pb.AuthorizeCallResponse) -> Words:
    """Tell a decision."""
    told: dict[str, Any] = {
        "call_type": answer.call_type,
        "e164": answer.called_number,
        "country": answer.destination.country,
        "origin_assumed": answer.origin_assumed,
    }
    if answer.HasField("payer"):
        kind = pb.PayerKind.Name(answer.payer.kind).removeprefix("PAYER_KIND_").lower()
        told["payer"] = f"{kind} {answer.payer.account_id}".strip()
    if answer.refusal.remedy:
        told["remedy"] = answer.refusal.remedy
    if answer.grant.emergency:
        return told | {"emergency": answer.grant.dial_as}
    return told | _outcome(answer)


def tell_extended(answer: pb.ExtendCallResponse) -> Words:
    """Tell an extension."""
    return _outcome(answer) | {"charged": _charged(answer.usages), "late": answer.late}


def tell_settled(answer: pb.SettleCallResponse) -> Words:
    """Tell what a call came to."""
    return {
        "charged": _charged(answer.usages),
        "paid_by": [
            f"{purse_words(usage.purse)} {usage.used_duration.seconds}" for usage in answer.usages
        ],
        "overrun": answer.overrun_duration.seconds,
        "uncollected": money_words(answer.uncollected),
        "late": answer.late,
    }


def tell_released(answer: pb.ReleaseCallResponse) -> Words:
    """Tell what was given back."""
    return {"released": money_words(answer.released)}


def tell_balance(answer: GetBalanceResponse) -> Words:
    """Tell the money of a tenant."""
    return {field.name: money_words(money) for field, money in answer.ListFields()}


def tell_error(reason: str) -> Words:
    """Tell that there was no answer, and why."""
    return {_ERROR: reason}


def checks_of(answer: pb.AuthorizeCallResponse) -> Iterable[tuple[str, bool]]:
    """List the rules that were asked, and whether each let the call pass."""
    return [(check.rule, check.passed) for check in answer.explanation.checks]


def purse_words(purse: pb.Purse) -> str:
    """Name a purse: "free", "credits", or "pool US:MCOPSTN1/domestic"."""
    kind = _KINDS.get(purse.kind, "")
    return f"{kind} {purse.pool_id}/{purse.counter}" if kind == "pool" else kind


def money_words(money: Money) -> str:
    """Write an amount with the decimals of its currency, or as many as it needs."""
    return written(money.micros, money.currency_code)


def _outcome(answer: pb.AuthorizeCallResponse | pb.ExtendCallResponse) -> dict[str, Any]:
    if answer.HasField("refusal"):
        refusal = answer.refusal
        return {
            "refused": pb.Reason.Name(refusal.reason).removeprefix("REASON_"),
            "shortfall": money_words(refusal.shortfall),
            "sip": refusal.sip_status,
            "q850": refusal.q850_cause,
        }
    return _granted(answer.grant) if answer.HasField("grant") else {}


def _granted(grant: pb.Grant) -> dict[str, Any]:
    told: dict[str, Any] = {
        "granted": grant.granted_duration.seconds,
        "final": grant.final,
        "pays": purse_words(grant.purse),
        "segments": [
            f"{purse_words(one.purse)} {one.start_offset.seconds}-{one.end_offset.seconds}"
            for one in grant.segments
        ],
        "held": money_words(Money(micros=sum(one.held.micros for one in grant.segments))),
    }
    if grant.HasField("price"):
        told["rate"] = money_words(grant.price.per_minute)
        told["connection_fee"] = money_words(grant.price.connection_fee)
        told["currency"] = grant.price.per_minute.currency_code
    if grant.remaining.HasField("available"):
        told["left"] = money_words(grant.remaining.available)
    if grant.remaining.HasField("pool_duration"):
        told["pool_left"] = grant.remaining.pool_duration.seconds
    return told


def _charged(usages: Iterable[pb.Usage]) -> str:
    return money_words(Money(micros=sum(usage.debited.micros for usage in usages)))
