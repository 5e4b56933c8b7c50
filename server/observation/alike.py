"""A decision that was like one before, as it is remembered, and the words of its record.

The words are those of `server.observation.decided`, in the same order, but of fewer objects: these
are the records of nearly all calls.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from policy.decision import Reason
from policy.facts import Call
from server.observation.masks import Masks
from server.observation.words import time_text
from server.translation.context import CallContext
from server.translation.kept_answer import Hold, Told


class DecidedAlike(NamedTuple):
    """A decision about a call: what was asked, what was answered, how long it took.

    `call` has its number read; `context` is that of a call which was decided alike. `hold` is what
    is held for a grant; None of a refusal by the rules.
    """

    call: Call
    dialled: str
    gateway_id: str
    call_id: str
    sequence: int
    told: Told
    decided_ms: int
    reason: Reason | None
    context: CallContext
    hold: Hold | None
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


def alike_words(one: DecidedAlike, masks: Masks) -> Struct:
    """Put a decision into words and figures, numbers and accounts hidden as the masks say."""
    call, context, told = one.call, one.context, one.told
    number, number_hash = masks.number(call.called_number), masks.hash(call.called_number)
    if one.dialled == call.called_number:
        dialled, dialled_hash = number, number_hash
    else:
        dialled, dialled_hash = masks.number(one.dialled), masks.hash(one.dialled)
    user_id = masks.account(call.account_ids[0])
    begin = (
        "authorize",
        time_text(one.decided_ms),
        call.tenant_id,
        one.gateway_id,
        one.call_id,
        one.sequence,
        False,
        call.kind.value,
        (user_id,),
        dialled,
        dialled_hash,
        masks.number(call.calling_number),
        masks.hash(call.calling_number),
        number,
        number_hash,
        told.decision_id.decode(),
        "grant" if one.reason is None else "refusal",
        masks.account(told.account_id.decode()),
        context.payer_kind,
        context.country,
        context.call_type,
        context.catalogue_version,
        context.directory_version,
        False,
    )
    if one.hold is None:
        assert one.reason is not None
        reason = one.reason.name
        return _RefusalWords(*begin, reason, 0, context.currency, False, one.duration_us)
    segments = one.hold.segments
    purses = [context.purses[segment.purse_index] for segment in segments]
    return _GrantWords(
        *begin,
        segments[-1].to_second,
        False,
        [purse.pool_id or purse.kind for purse in purses],
        sum(segment.held_micros for segment in segments),
        context.currency,
        False,
        one.duration_us,
    )
