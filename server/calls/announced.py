"""What a call had paid before the ledger forgot it, by the purses that may pay it now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from policy.decision import CreditsPurse, PoolPurse, Purse
from server.archive import ArchivedCall, ArchivedPurse, ArchivedUse, SoughtCall
from server.calls.messages.question import CallQuestion
from server.ledger import (
    NOT_ASKED,
    Answer,
    CallKey,
    CallOver,
    CallUnknown,
    Question,
    RequestReused,
    Use,
)
from server.ledger.codec import read_call_text, read_report, read_segments, read_uses
from server.ledger.journal.entries import fields_of
from server.storage.sql.errors import ArchiveUnavailable


def _answer_of_archived(found: ArchivedCall, question: Question) -> Answer:
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
    context = read_call_text(fields["facts"]).context
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


class Debited(NamedTuple):
    """What was debited for a call so far, and what decision began it; empty where none is known.

    `UNASKED` where nobody asked the archive: a call that the ledger has forgotten is unknown then.
    """

    opened_id: str = ""
    uses: Sequence[ArchivedUse] = ()
    # When it was first granted; 0 where that is not known.
    began_ms: int = 0


NOTHING_DEBITED = Debited()
UNASKED = Debited(NOT_ASKED)
FIRST_SEQUENCE = 1
# A call that is asked anew without being announced is one that was reported on so lately.
_ASKED_ANEW_MS = 86_400_000
# An archive that takes longer is away for it: it is decided as a new one.
_PATIENCE_SECONDS = 1.0


def before_asking(question: CallQuestion) -> Debited:
    """Say what was debited before the archive is asked: nothing for a call that begins.

    A question of a higher sequence may be about a call that goes on, though it announces none.
    """
    may_go_on = question.used_seconds or question.sequence > FIRST_SEQUENCE
    return UNASKED if may_go_on else NOTHING_DEBITED


def debited_uses(debited: Debited, purses: Sequence[Purse]) -> tuple[Use, ...]:
    """Name what was debited by the places of today's purses; what none of them is, by the last.

    Seconds once paid are never paid again, even where the purse that paid them is gone.
    """
    if not purses:
        return ()
    seconds, micros = [0] * len(purses), [0] * len(purses)
    for use in debited.uses:
        index = _place(use.purse, purses)
        seconds[index] += use.seconds
        micros[index] += use.micros
    return tuple(
        Use(index, seconds[index], micros[index])
        for index in range(len(purses))
        if seconds[index] > 0
    )


def _place(paid: ArchivedPurse, purses: Sequence[Purse]) -> int:
    for index, purse in enumerate(purses):
        if _kind(purse) == paid.kind and _is_same(paid, purse):
            return index
    return len(purses) - 1


def _is_same(paid: ArchivedPurse, purse: Purse) -> bool:
    if not isinstance(purse, PoolPurse):
        return True
    if (paid.pool_id, paid.period) != (purse.pool_id, purse.period):
        return False
    # Of a purse that is known by its usage record alone nobody says on which counter.
    return not paid.tally or paid.tally.split("/", 3)[2] == purse.counter


def _kind(purse: Purse) -> str:
    if isinstance(purse, PoolPurse):
        return "pool"
    return "credits" if isinstance(purse, CreditsPurse) else "free"


FindArchived = Callable[[SoughtCall], Awaitable[ArchivedCall | None]]


@dataclass(frozen=True, slots=True)
class Announcing:
    """Asks the archive about a call, once the ledger has said that it does not know it.

    All methods raise `ArchiveUnavailable`: whoever cannot be asked may know. But a call that is
    not announced is a new one then.
    """

    find_archived: FindArchived
    now_ms: Callable[[], int]
    # For how long a call is meant that is named by its id alone.
    call_id_ms: int

    async def debited(self, question: CallQuestion, tenant_id: str) -> Debited:
        """Say what was debited for a call that is announced, whatever became of it.

        Of one that is asked anew: what was debited if it may go on, as the ledger would say.
        """
        call = CallKey(tenant_id, question.gateway_id, question.call_id)
        if question.used_seconds:
            found = await self._find(call, question.running_on)
        else:
            found = await self._going_on(call, question.running_on)
        return Debited(found.opened_id, found.uses, found.began_ms) if found else NOTHING_DEBITED

    async def told_before(self, question: Question) -> Answer:
        """Answer a report on a call that had ended, as the ledger would while it remembers it.

        Raises `CallUnknown` where no report of its own ended such a call, `RequestReused` and
        `CallOver`.
        """
        found = await self._find(question.call, "")
        if found is None or not found.has_ended:
            raise CallUnknown
        return _answer_of_archived(found, question)

    async def _going_on(self, call: CallKey, decision_id: str) -> ArchivedCall | None:
        since_ms = self.now_ms() - _ASKED_ANEW_MS
        sought = SoughtCall(*call, decision_id, since_ms)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                found = await self.find_archived(sought)
        except (ArchiveUnavailable, TimeoutError):
            return None
        goes_on = found is not None and found.used_seconds > 0 and not found.has_ended
        return found if goes_on else None

    async def _find(self, call: CallKey, decision_id: str) -> ArchivedCall | None:
        since_ms = self.now_ms() - self.call_id_ms
        return await self.find_archived(SoughtCall(*call, decision_id, since_ms))
