"""Calls that are announced as running: what they had paid, if the ledger has forgotten them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.archive import ArchivedCall
from server.debited import Debited
from server.ledger import CallKey, CallUnknown, Ledger
from server.translation.question import CallQuestion

FindArchived = Callable[[str, str, str], Awaitable[ArchivedCall | None]]


@dataclass(frozen=True, slots=True)
class Announcing:
    """Asks the archive about a call, where the ledger does not know it."""

    ledger: Ledger
    find_archived: FindArchived

    async def debited(self, question: CallQuestion, tenant_id: str) -> Debited:
        """Say what was debited for a running call that the ledger has forgotten.

        Raises `LedgerUnavailable` and `ArchiveUnavailable`: whoever cannot be asked may know.
        """
        if not question.used_seconds or question.dry_run:
            return ()
        call = CallKey(tenant_id, question.gateway_id, question.call_id)
        try:
            await self.ledger.look(call)
        except CallUnknown:
            found = await self.find_archived(call.tenant_id, call.gateway_id, call.call_id)
            return found.uses if found else ()
        return ()
