"""Catching up with facts that the ledger knows and this process does not, yet."""

from __future__ import annotations

import asyncio

from policy.facts import Tenant
from server.facts import FactsInUse
from server.facts.errors import FactsBehind

# Files are read anew in another process, which takes longer than one caller waits.
_WAIT_SHARE = 0.5


class CatchingUp:
    """Finds a tenant's facts by their digest, once for all questions that want them."""

    def __init__(self, facts: FactsInUse, deadline_seconds: float) -> None:
        self._facts = facts
        self._wait_seconds = deadline_seconds * _WAIT_SHARE
        self._searches: dict[tuple[str, str], asyncio.Task[Tenant | None]] = {}

    async def find(self, tenant_id: str, digest: str) -> Tenant:
        """Return the facts of this digest. Raises `FactsBehind`; the search then goes on."""
        wanted = tenant_id, digest
        search = self._searches.get(wanted)
        if search is None:
            search = asyncio.create_task(self._facts.tenant_with_digest(tenant_id, digest))
            self._searches[wanted] = search
            search.add_done_callback(lambda _: self._searches.pop(wanted))
        await asyncio.wait((search,), timeout=self._wait_seconds)
        found = search.result() if search.done() else None
        if found is None:
            raise FactsBehind(tenant_id)
        return found
