"""A decision that was like one before, as it is remembered, and the words of its record.

The words are those of `server.observation.decided`, in the same order, but of fewer objects: these
are the records of nearly all calls.
"""

from __future__ import annotations

from msgspec import Struct

from policy.decision import Reason
from server.observation.masks import Masks
from server.observation.words import time_text
from server.translation.context import CallContext
from server.translation.kept_answer import Hold


class AlikeCall:
    """A call that was decided like one before: what of it is its own.

    Attributes:
        called_number: The number as the rules read it; `dialled` is how it was asked about.
        account_id: The account that pays.
        context: The context of a call that was decided alike.
        reason: Why the rules refuse it; None where they do not.
        hold: What is held for it; None where it is refused.
    """

    __slots__ = (
        "account_id",
        "call_id",
        "called_number",
        "calling_number",
        "context",
        "decided_ms",
        "decision_id",
        "dialled",
        "duration_us",
        "gateway_id",
        "hold",
        "kind",
        "location",
        "reason",
        "requested_seconds",
        "sequence",
        "tenant_id",
        "user_id",
    )

    tenant_id: str
    kind: str
    user_id: str
    dialled: str
    called_number: str
    calling_number: str
    location: str
    requested_seconds: int
    gateway_id: str
    call_id: str
    sequence: int
    decision_id: str
    account_id: str
    context: CallContext
    reason: Reason | None
    hold: Hold | None
    decided_ms: int
    duration_us: int


class _Words(Struct):
    """What every record of a call begins with; the order of the fields is that of the record."""

    verb: str
    time: str
    tenant_id: str
    gateway_id: str
    call_id: str
    sequence: int
    dry_run: bool
    kind: str
    account_ids: tuple[str]
    dialled_number: str
    dialled_number_hash: str
    calling_number: str
    calling_number_hash: str
    far_number: str
    far_number_hash: str
    decision_id: str
    outcome: str
    payer: str
    payer_kind: str | None
    country: str
    call_type: str
    catalogue_version: str
    directory_version: str
    superseded: bool


class _RefusalWords(_Words):
    reason: str
    shortfall_micros: int
    currency: str
    repeated: bool
    duration_us: int


class _GrantWords(_Words):
    granted_seconds: int
    final: bool
    purses: list[str]
    held_micros: int
    currency: str
    repeated: bool
    duration_us: int


def alike_words(call: AlikeCall, masks: Masks) -> Struct:
    """Put a decision into words and figures, numbers and accounts hidden as the masks say."""
    context = call.context
    number, number_hash = masks.number(call.called_number), masks.hash(call.called_number)
    if call.dialled == call.called_number:
        dialled, dialled_hash = number, number_hash
    else:
        dialled, dialled_hash = masks.number(call.dialled), masks.hash(call.dialled)
    begin = (
        "authorize",
        time_text(call.decided_ms),
        call.tenant_id,
        call.gateway_id,
        call.call_id,
        call.sequence,
        False,
        call.kind,
        (masks.account(call.user_id),),
        dialled,
        dialled_hash,
        masks.number(call.calling_number),
        masks.hash(call.calling_number),
        number,
        number_hash,
        call.decision_id,
        "grant" if call.hold else "refusal",
        masks.account(call.account_id),
        context.payer_kind,
        context.country,
        context.call_type,
        context.catalogue_version,
        context.directory_version,
        False,
    )
    if call.hold is None:
        assert call.reason is not None
        reason = call.reason.name
        return _RefusalWords(*begin, reason, 0, context.currency, False, call.duration_us)
    segments = call.hold.segments
    purses = [context.purses[segment.purse_index] for segment in segments]
    return _GrantWords(
        *begin,
        segments[-1].to_second,
        False,
        [purse.pool_id or purse.kind for purse in purses],
        sum(segment.held_micros for segment in segments),
        context.currency,
        False,
        call.duration_us,
    )
