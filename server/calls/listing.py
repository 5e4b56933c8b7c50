"""The running calls of a tenant, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from server.access import find_tenant_by_id
from server.decider import Decider
from server.errors import InvalidRequest
from server.ledger import CallKey, LedgerUnavailable
from server.ledger.calls import CallPage, CallReader, KnownCall, PageUnknown
from server.translation.call_list import ListQuestion


@dataclass(frozen=True, slots=True)
class Listing:
    """Lists calls; changes nothing."""

    decider: Decider
    reader: CallReader

    async def read(self, call: CallKey) -> KnownCall:
        """Read one call. Raises `CallUnknown` and `LedgerUnavailable`."""
        try:
            async with self.decider.deadline.timeout(None):
                return await self.reader.read(call)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error

    async def page(self, wanted: ListQuestion, remaining_seconds: float | None) -> CallPage:
        """Read one page.

        Raises `TenantForbidden`, `LedgerUnavailable`, and `InvalidRequest` for an unknown page.
        """
        decider = self.decider
        find_tenant_by_id(wanted.tenant_id, decider.facts.current.directory)
        try:
            async with decider.deadline.timeout(remaining_seconds):
                return await self.reader.page(wanted.tenant_id, wanted.page, wanted.limit)
        except PageUnknown as error:
            raise InvalidRequest("page_token", "the next_page_token of the page before") from error
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
