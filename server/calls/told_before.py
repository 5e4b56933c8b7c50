"""Repeating the answer to a report on a call that is over, out of the entry that ended it."""

from __future__ import annotations

from server.archive import ArchivedCall
from server.ledger import Answer, CallOver, Question, RequestReused
from server.ledger.codec import GROUP, read_report, read_segments, read_uses
from server.ledger.journal.entries import fields_of


def told_before(found: ArchivedCall, question: Question) -> Answer:
    """Give the answer to the report that ended a call, to whoever asks it or an earlier one.

    Raises `RequestReused`, and `CallOver` to a later question, or where the journal no longer has
    that entry.
    """
    ending = found.ending
    if ending is None:
        raise CallOver(found.state.value)
    fields = fields_of(ending.body)
    sequence, content = fields["asked"].split(" ", 1)
    if question.sequence > int(sequence):
        raise CallOver(found.state.value)
    superseded = question.sequence < int(sequence)
    if not superseded and content != question.fingerprint:
        raise RequestReused
    used, overrun, unpaid_seconds, unpaid_micros, late, implausible = read_report(fields["report"])
    context = fields["facts"].split(GROUP, 2)[2]
    return Answer(
        decision_id=ending.nonce,
        decide_time_ms=ending.time_ms,
        # The answer to a release tells what was given back.
        segments=read_segments(fields["held_before"]) if ending.kind == "released" else (),
        final=False,
        reason=None,
        shortfall_micros=0,
        available_micros=None,
        pool_left_seconds=None,
        report_by_ms=0,
        expire_time_ms=0,
        context=context,
        superseded=superseded,
        state=ending.kind,
        used_seconds=used,
        uses=read_uses(fields["uses"]),
        overrun_seconds=overrun,
        unpaid_seconds=unpaid_seconds,
        unpaid_micros=unpaid_micros,
        late=late == 1,
        implausible_seconds=implausible,
    )
