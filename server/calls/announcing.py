"""Calls that the ledger has forgotten: what they had paid, and whether they had ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.archive import ArchivedCall, SoughtCall
from server.calls.told_before import told_before
from server.debited import NOTHING_DEBITED, Debited
from server.ledger import Answer, CallKey, CallUnknown, Question
from server.translation.question import CallQuestion

FindArchived = Callable[[SoughtCall], Awaitable[ArchivedCall | None]]


@dataclass(frozen=True, slots=True)
class Announcing:
    """Asks the archive about a call, once the ledger has said that it does not know it.

    All methods raise `ArchiveUnavailable`: whoever cannot be asked may know.
    """

    find_archived: FindArchived
    now_ms: Callable[[], int]
    # For how long a call is meant that is named by its id alone.
    call_id_ms: int

    async def debited(self, question: CallQuestion, tenant_id: str) -> Debited:
        """Say what was debited for a call that is announced, whatever became of it."""
        call = CallKey(tenant_id, question.gateway_id, question.call_id)
        found = await self._find(call, question.running_on)
        return Debited(found.opened_id, found.uses) if found else NOTHING_DEBITED

    async def told_before(self, question: Question) -> Answer:
        """Answer a report on a call that had ended, as the ledger would while it remembers it.

        Raises `CallUnknown` where no report of its own ended such a call, `RequestReused` and
        `CallOver`.
        """
        found = await self._find(question.call, "")
        if found is None or not found.has_ended:
            raise CallUnknown
        return told_before(found, question)

    async def _find(self, call: CallKey, decision_id: str) -> ArchivedCall | None:
        since_ms = self.now_ms() - self.call_id_ms
        return await self.find_archived(SoughtCall(*call, decision_id, since_ms))
