"""The running calls of a tenant, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from callgate.v1 import authorization_pb2 as pb
from server.access import find_tenant_by_id
from server.calls.authorize import Authorizer
from server.calls.messages import fields as limits
from server.calls.messages.fields import no_such_page, page_size
from server.calls.messages.parts import add_usage, set_payer, set_time
from server.ledger import CallKey, LedgerUnavailable
from server.ledger.decision_context import unpack
from server.ledger.running_calls import CallPage, CallReader, KnownCall, PageUnknown


@dataclass(frozen=True, slots=True)
class Listing:
    """Lists calls; changes nothing."""

    authorizer: Authorizer
    reader: CallReader

    async def read(self, call: CallKey) -> KnownCall:
        """Read one call. Raises `CallUnknown` and `LedgerUnavailable`."""
        try:
            async with self.authorizer.deadline.timeout(None):
                return await self.reader.read(call)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error

    async def page(self, wanted: ListQuestion, remaining_seconds: float | None) -> CallPage:
        """Read one page.

        Raises `TenantForbidden`, `LedgerUnavailable`, and `InvalidRequest` for an unknown page.
        """
        authorizer = self.authorizer
        find_tenant_by_id(wanted.tenant_id, authorizer.facts.current.directory)
        try:
            async with authorizer.deadline.timeout(remaining_seconds):
                return await self.reader.page(wanted.tenant_id, wanted.page, wanted.limit)
        except PageUnknown as error:
            raise no_such_page() from error
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error


# What one page may leave to the next ones, by their references in the store.
_MAX_PAGE_TOKEN_LENGTH = 32_768


class ListQuestion(NamedTuple):
    """Whose calls to list, from where, and how many at the most."""

    tenant_id: str
    page: str
    limit: int


def list_question(request: pb.ListCallsRequest) -> ListQuestion:
    """Translate a question. Raises `InvalidRequest`."""
    tenant_id = limits.tenant_id(request.tenant_id)
    size = page_size(request.page_size)
    if len(request.page_token) > _MAX_PAGE_TOKEN_LENGTH:
        raise no_such_page()
    return ListQuestion(tenant_id, request.page_token, size)


def list_response(tenant_id: str, page: CallPage) -> pb.ListCallsResponse:
    """Build the answer."""
    response = pb.ListCallsResponse(next_page_token=page.next_page)
    for known in page.calls:
        _set_call(response.calls.add(), tenant_id, known)
    return response


def _set_call(state: pb.CallState, tenant_id: str, known: KnownCall) -> None:
    answer, context = known.answer, unpack(known.answer.context)
    state.gateway_id = known.call.gateway_id
    state.call_id = known.call.call_id
    if context.payer_kind is not None:
        set_payer(state.payer, context, tenant_id)
    state.called_number = context.called_number
    state.call_type = context.call_type
    state.sequence = known.sequence
    state.used_duration.SetInParent()
    state.used_duration.seconds = answer.used_seconds
    granted_seconds = answer.granted_seconds if answer.segments else answer.used_seconds
    state.granted_duration.seconds = granted_seconds
    for use in answer.uses:
        add_usage(state.usages.add(), use, context)
    set_time(state.expire_time, answer.expire_time_ms)
