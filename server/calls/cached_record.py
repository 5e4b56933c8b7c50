"""A decision that was like one before, as it is remembered, and the words of its record.

The words are those of `decision_record`, in the same order, but most of a line is kept: these
are the records of nearly all calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from policy.reasons import Reason
from server.calls.messages.cached_answer import Hold
from server.ledger import Segment
from server.ledger.decision_context import DecisionContext, ToldPurse
from server.observability.masks import Masks


class CachedDecisionRecord:
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
    context: DecisionContext
    reason: Reason | None
    hold: Hold | None
    decided_ms: int
    duration_us: int

    @property
    def is_grant(self) -> bool:
        """Whether it is no refusal."""
        return self.hold is not None

    def line(self, masks: Masks) -> bytes:
        """Write the record of a decision, numbers and accounts hidden as the masks say."""
        context, hold = self.context, self.hold
        number, number_hash = masks.number(self.called_number), masks.hash(self.called_number)
        if self.dialled == self.called_number:
            dialled, dialled_hash = number, number_hash
        else:
            dialled, dialled_hash = masks.number(self.dialled), masks.hash(self.dialled)
        calling_hash = masks.hash(self.calling_number)
        tenant_id, gateway_id, call_id, dialled, calling, account, payer = _escaped(
            self.tenant_id,
            self.gateway_id,
            self.call_id,
            dialled,
            masks.number(self.calling_number),
            masks.account(self.user_id),
            masks.account(self.account_id),
        )
        if hold is None:
            assert self.reason is not None
            outcome, end = "refusal", _refusal(self.reason, context.currency)
        else:
            outcome, end = "grant", _grant(hold.segments, context.purses, context.currency)
        # fmt: off
        return (_HEAD % (
            time_text(self.decided_ms), tenant_id, gateway_id, call_id, self.sequence, self.kind,
            account, dialled, dialled_hash, calling, calling_hash, number, number_hash,
            self.decision_id, outcome, payer,
            _common(
                context.payer_kind, context.country, context.call_type, context.catalogue_version,
                context.directory_version,
            ),
            end, self.duration_us,
        )).encode()


# What every record of a call begins with. The texts are those of JSON, without its quotes.
_HEAD = (
    '{"verb":"authorize","time":"%s","tenant_id":"%s","gateway_id":"%s","call_id":"%s",'
    '"sequence":%d,"dry_run":false,"kind":"%s","account_ids":["%s"],"dialled_number":"%s",'
    '"dialled_number_hash":"%s","calling_number":"%s","calling_number_hash":"%s",'
    '"far_number":"%s","far_number_hash":"%s","decision_id":"%s","outcome":"%s","payer":"%s",'
    "%s,%s%d}\n"
)
_ENDS_KEPT = 1_024


def _escaped(*texts: str) -> Sequence[str]:
    """Write texts as JSON has them within its quotes."""
    together = "".join(texts)
    if together.isprintable() and '"' not in together and "\\" not in together:
        return texts
    return [msgspec.json.encode(text)[1:-1].decode() for text in texts]


@lru_cache(maxsize=_ENDS_KEPT)
def _common(payer_kind: str | None, *words: str) -> str:
    country, call_type, catalogue_version, directory_version = words
    return _inner(
        payer_kind=payer_kind,
        country=country,
        call_type=call_type,
        catalogue_version=catalogue_version,
        directory_version=directory_version,
        superseded=False,
    )


@lru_cache(maxsize=_ENDS_KEPT)
def _refusal(reason: Reason, currency: str) -> str:
    return _before_duration(reason=reason.name, shortfall_micros=0, currency=currency)


@lru_cache(maxsize=_ENDS_KEPT)
def _grant(segments: tuple[Segment, ...], purses: tuple[ToldPurse, ...], currency: str) -> str:
    paying = [purses[segment.purse_index] for segment in segments]
    return _before_duration(
        granted_seconds=segments[-1].to_second,
        final=False,
        purses=[purse.pool_id or purse.kind for purse in paying],
        held_micros=sum(segment.held_micros for segment in segments),
        currency=currency,
    )


def _before_duration(**words: object) -> str:
    return f'{_inner(**words)},"repeated":false,"duration_us":'


def _inner(**words: object) -> str:
    return msgspec.json.encode(words)[1:-1].decode()


_MS = 1_000


def time_text(time_ms: int) -> str:
    """Write a time as records have it, to the millisecond."""
    seconds, milliseconds = divmod(time_ms, _MS)
    return f"{_second(seconds)}.{milliseconds:03d}+00:00"


# Nearly all of a batch were decided within a second or two.
@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
