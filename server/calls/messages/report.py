"""Reports about running calls from the wire, within every field limit."""

from __future__ import annotations

from typing import NamedTuple

from callgate.v1 import authorization_pb2 as pb
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.question import CallQuestion, call_question
from server.ledger import CallKey, fingerprint


class Report(NamedTuple):
    """What is said of a call that was granted before.

    `fingerprint` stands for its content; `wanted_seconds` beyond those used, None where the caller
    leaves it to us. `unknown_call` says what the call was, should nobody know it.
    """

    call: CallKey
    sequence: int
    fingerprint: str
    used_seconds: int = 0
    wanted_seconds: int | None = None
    unknown_call: CallQuestion | None = None


def extend_report(request: pb.ExtendCallRequest) -> Report:
    """Translate a report that asks for more. Raises `InvalidRequest`."""
    call, sequence = _call(request)
    used = limits.used_seconds(request.used_duration)
    wanted = None
    if request.HasField("requested_duration"):
        wanted = limits.more_seconds(request.requested_duration)
    asked = fingerprint(
        (("verb", "extend"), ("used", str(used)), ("wanted", "" if wanted is None else str(wanted)))
    )
    return Report(call, sequence, asked, used, wanted)


def settle_report(request: pb.SettleCallRequest) -> Report:
    """Translate the end of a call. Raises `InvalidRequest`."""
    call, sequence = _call(request)
    used = limits.used_seconds(request.used_duration)
    unknown = _unknown_call(request) if request.HasField("unknown_call") else None
    # What an unknown call was changes nothing of a settlement that is known.
    asked = fingerprint((("verb", "settle"), ("used", str(used))))
    return Report(call, sequence, asked, used, unknown_call=unknown)


def release_report(request: pb.ReleaseCallRequest) -> Report:
    """Translate the end of a call that nobody answered. Raises `InvalidRequest`."""
    call, sequence = _call(request)
    return Report(call, sequence, fingerprint((("verb", "release"),)))


def _call(
    request: pb.ExtendCallRequest | pb.SettleCallRequest | pb.ReleaseCallRequest,
) -> tuple[CallKey, int]:
    call = CallKey(
        limits.tenant_id(request.tenant_id),
        limits.gateway_id(request.gateway_id),
        limits.call_id(request.call_id),
    )
    return call, limits.sequence(request.sequence)


def _unknown_call(request: pb.SettleCallRequest) -> CallQuestion:
    """Read what the call was; which call it was is said by the report itself."""
    asked = pb.AuthorizeCallRequest()
    asked.CopyFrom(request.unknown_call)
    for name in ("tenant_id", "gateway_id", "call_id"):
        ours = getattr(request, name)
        if getattr(asked, name) not in {"", ours}:
            raise InvalidRequest(f"unknown_call.{name}", "empty, or as in the report itself")
        setattr(asked, name, ours)
    asked.sequence = request.sequence
    asked.dry_run = asked.explain = False
    asked.running_call.used_duration.CopyFrom(request.used_duration)
    return call_question(asked)
