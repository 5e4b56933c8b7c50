"""Use that cannot have passed: what is held apart of a tenant's calls, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import credits_pb2 as pb
from server.access import current
from server.calls.messages import fields as limits
from server.calls.messages.parts import set_money
from server.funding.implausible import Fate, Held, HeldUse, Settling, held_use, settle
from server.services.credits.fields import note
from server.services.credits.shared import CreditParts, currency_of, in_time, known_account
from server.services.paging import read_page
from server.transport.contract import Context

_FATES = {
    pb.IMPLAUSIBLE_USE_SETTLEMENT_CHARGE: Fate.CHARGED,
    pb.IMPLAUSIBLE_USE_SETTLEMENT_WAIVE: Fate.WAIVED,
}


@dataclass(frozen=True, slots=True)
class ImplausibleUses:
    """Answers ListImplausibleUse and ResolveImplausibleUse."""

    parts: CreditParts

    async def list_implausible_use(
        self, request: pb.ListImplausibleUseRequest, context: Context
    ) -> pb.ListImplausibleUseResponse:
        """List what is held apart, by decision."""
        tenant = self.parts.tenant(request.tenant_id)
        of = ("implausible use", tenant.tenant_id)
        page = read_page(of, request.page_size, request.page_token)
        wanted = Held(tenant.tenant_id, after=page.after, limit=page.size + 1)
        async with in_time(context.time_remaining()):
            found, currency = await self.parts.database.read(
                lambda c: (list(held_use(c, wanted)), currency_of(c, tenant))
            )
        response = pb.ListImplausibleUseResponse()
        for held in found[: page.size]:
            _set_use(response.uses.add(), held, currency)
        if len(found) > page.size:
            response.next_page_token = page.token_after(found[page.size - 1].opened_id)
        return response

    async def resolve_implausible_use(
        self, request: pb.ResolveImplausibleUseRequest, context: Context
    ) -> pb.ResolveImplausibleUseResponse:
        """Charge or waive what is held apart of a call."""
        tenant, why = self.parts.tenant(request.tenant_id), note(request.note)
        decision_id = limits.an_id("decision_id", request.decision_id)
        fate = _FATES.get(request.settlement)
        if fate is None:
            raise limits.InvalidRequest("settlement", "CHARGE or WAIVE")
        settling = Settling(tenant.tenant_id, decision_id, fate, current().identity_id, why)
        async with (
            in_time(context.time_remaining()),
            known_account(self.parts, tenant.tenant_id),
        ):
            charged = await settle(self.parts.funding_requests, settling)
            currency = await self.parts.database.read(lambda c: currency_of(c, tenant))
        response = pb.ResolveImplausibleUseResponse()
        set_money(response.charged, charged, currency)
        return response


def _set_use(told: pb.ImplausibleUse, held: HeldUse, currency: str) -> None:
    told.decision_id, told.call_id = held.opened_id, held.call_id
    told.gateway_id = held.gateway_id
    told.duration.seconds = held.seconds
    set_money(told.amount, held.micros, currency)
