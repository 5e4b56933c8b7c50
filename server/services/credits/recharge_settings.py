"""How a tenant buys credits, and what became of the charges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from callgate.v1 import credits_pb2 as pb
from policy.facts import FundingModel, Tenant
from policy.money import written
from server.access import current
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest, page_size
from server.funding.charge_rows import (
    ChargeRow,
    ChargeState,
    find_charge,
    list_charges,
    save_charge,
)
from server.funding.errors import ChargeUnknown, FundingRefused, Why
from server.funding.funding_rows import FundingRow, hold_funding, read_funding, save_funding
from server.funding.requests import require_currency
from server.services.credits.fields import amount_micros, note
from server.services.credits.messages import etag_of, set_charge, set_funding
from server.services.credits.shared import (
    CreditParts,
    currency_of,
    in_time,
    require_balance,
    require_open,
    require_operator,
)
from server.storage.sql.audit import Audited
from server.transport.contract import Context

_CUSTOMER_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class FundingSettings:
    """Answers GetFunding, UpdateFunding, ListCharges and ResolveCharge."""

    parts: CreditParts

    async def get_funding(
        self, request: pb.GetFundingRequest, context: Context
    ) -> pb.GetFundingResponse:
        """Read how a tenant buys credits."""
        tenant = self.parts.tenant(request.tenant_id)
        async with in_time(context.time_remaining()):
            row, currency = await self.parts.database.read(
                lambda c: (read_funding(c, tenant.tenant_id), currency_of(c, tenant))
            )
        response = pb.GetFundingResponse()
        set_funding(response.funding, row, currency)
        return response

    async def update_funding(
        self, request: pb.UpdateFundingRequest, context: Context
    ) -> pb.UpdateFundingResponse:
        """Change how a tenant buys credits; what is absent stays."""
        tenant = self.parts.tenant(request.tenant_id)
        changes = self._changes(request, tenant)
        async with in_time(context.time_remaining()):
            row = await self.parts.database.write(
                lambda c: self._change(c, tenant, changes, etag=request.etag)
            )
        response = pb.UpdateFundingResponse()
        set_funding(response.funding, row, tenant.currency)
        return response

    async def set_recharge(
        self, tenant: Tenant, wanted: pb.AutoRecharge, context: Context, *, etag: str, action: str
    ) -> FundingRow:
        """Set auto-recharge for another RPC than UpdateFunding, audited by its name."""
        changes = self._recharge(wanted, tenant)
        async with in_time(context.time_remaining()):
            return await self.parts.database.write(
                lambda c: self._change(c, tenant, changes, etag=etag, action=action)
            )

    async def list_charges(
        self, request: pb.ListChargesRequest, context: Context
    ) -> pb.ListChargesResponse:
        """List charges, the newest first."""
        tenant, limit = self.parts.tenant(request.tenant_id), page_size(request.page_size)
        async with in_time(context.time_remaining()):
            charges = await self.parts.database.read(
                lambda c: list_charges(c, tenant.tenant_id, limit=limit)
            )
        response = pb.ListChargesResponse()
        for charge in charges:
            set_charge(response.charges.add(), charge)
        return response

    async def resolve_charge(
        self, request: pb.ResolveChargeRequest, context: Context
    ) -> pb.ResolveChargeResponse:
        """Write down what an operator found out about a charge."""
        tenant, why = self.parts.tenant(request.tenant_id), note(request.note)
        limits.an_id("charge_id", request.charge_id)
        async with in_time(context.time_remaining()):
            charge = await self.parts.database.write(
                lambda c: self._resolve(c, tenant, request, why=why)
            )
        response = pb.ResolveChargeResponse()
        set_charge(response.charge, charge)
        return response

    def _changes(self, request: pb.UpdateFundingRequest, tenant: Tenant) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if request.HasField("auto_recharge"):
            changes |= self._recharge(request.auto_recharge, tenant)
        if request.HasField("billing_country"):
            # Else whoever is refused for it could say that it is elsewhere.
            require_operator()
            changes["billing_country"] = limits.location(request.billing_country)
        if request.HasField("region_override"):
            require_operator()
            changes["region_override"] = note(request.region_override, "region_override")
        if request.HasField("max_balance"):
            require_operator()
            most = amount_micros(request.max_balance, tenant.currency, field="max_balance", least=0)
            changes["max_balance_micros"] = most or None
        if request.HasField("payment_customer"):
            # It may name anybody's means of payment, also another tenant's.
            require_operator()
            customer = note(request.payment_customer, "payment_customer")
            changes["payment_customer"] = customer[:_CUSTOMER_CHARACTERS]
        return changes

    def _recharge(self, wanted: pb.AutoRecharge, tenant: Tenant) -> dict[str, Any]:
        currency, at = tenant.currency, "auto_recharge"
        if wanted.enabled:
            self._require_rechargeable(tenant)
        elif not wanted.HasField("amount"):
            return {"recharge_enabled": False}
        micros = amount_micros(wanted.amount, currency, field=f"{at}.amount")
        self._require_chargeable(micros, currency, f"{at}.amount.micros")
        monthly = None
        if wanted.HasField("monthly_limit"):
            monthly = amount_micros(
                wanted.monthly_limit, currency, field=f"{at}.monthly_limit", least=micros
            )
        return {
            "recharge_enabled": wanted.enabled,
            "trigger_micros": amount_micros(wanted.trigger, currency, field=f"{at}.trigger"),
            "amount_micros": micros,
            "monthly_limit_micros": monthly,
        }

    def _require_chargeable(self, micros: int, currency: str, at: str) -> None:
        """Refuse an amount that could never be charged, before anybody counts on it."""
        least = self.parts.rules.least(currency)
        if micros < least:
            text = f"at least the minimum funding, {written(least, currency)} {currency}"
            raise InvalidRequest(at, text)
        if self.parts.charging is not None:
            instead = self.parts.charging.payments.counting.objection(micros, currency)
            if instead:
                raise InvalidRequest(at, instead)

    def _require_rechargeable(self, tenant: Tenant) -> None:
        require_balance(tenant)
        if self.parts.charging is None:
            raise FundingRefused(Why.PAYMENTS_OFF, "No payment provider is set up.")
        draining = tenant.funding_model is FundingModel.DRAIN_THEN_POST_PAID
        if draining and not tenant.auto_recharge:
            text = (
                "The tenant drains its balance and then pays afterwards. To keep it prepaid, set "
                "auto_recharge in its directory entry first."
            )
            raise FundingRefused(Why.FUNDING_MODEL, text)

    def _change(
        self,
        connection: Connection,
        tenant: Tenant,
        changes: dict[str, Any],
        *,
        etag: str,
        action: str = "UpdateFunding",
    ) -> FundingRow:
        require_currency(connection, tenant.tenant_id, tenant.currency)
        row = hold_funding(connection, tenant.tenant_id)
        require_open(row)
        if etag not in {"", etag_of(row)}:
            raise FundingRefused(Why.FUNDING_CHANGED, "Somebody else changed it first.")
        before = {name: getattr(row, name) for name in changes}
        for name, value in changes.items():
            setattr(row, name, value)
        row.country = tenant.country
        self._require_room(row, tenant.currency)
        # Whoever mends what was declined need not wait for the rest to be over.
        row.declines, row.rest_until_ms, row.armed = 0, 0, True
        save_funding(connection, row)
        self.parts.funding_requests.audit.record(
            connection,
            current().identity_id,
            Audited(action, f"tenants/{tenant.tenant_id}/funding", tenant.tenant_id),
            before=before,
            after=changes,
        )
        return row

    def _require_room(self, row: FundingRow, currency: str) -> None:
        """Refuse recharges that the largest balance forbids even where there is no balance."""
        most = self.parts.rules.most_balance(row)
        if row.recharge_enabled and row.amount_micros > most:
            raise InvalidRequest(
                "auto_recharge.amount.micros",
                f"at most the largest balance, {written(most, currency)} {currency}",
            )

    def _resolve(
        self, connection: Connection, tenant: Tenant, request: pb.ResolveChargeRequest, *, why: str
    ) -> ChargeRow:
        charge = find_charge(connection, request.charge_id, hold=True)
        if charge is None or charge.tenant_id != tenant.tenant_id:
            raise ChargeUnknown
        if charge.state is not ChargeState.UNRESOLVED:
            text = f"The charge is {charge.state.value}; nothing is left to be said of it."
            raise FundingRefused(Why.CHARGE_SETTLED, text, {"state": charge.state.value})
        charge.state = ChargeState.CHARGED if request.taken else ChargeState.DECLINED
        charge.next_try_ms, charge.finish_ms = 0, self.parts.now_ms()
        charge.reason = "" if request.taken else "resolved"
        save_charge(connection, charge)
        save_funding(connection, hold_funding(connection, tenant.tenant_id))
        self.parts.funding_requests.audit.record(
            connection,
            current().identity_id,
            Audited("ResolveCharge", f"charges/{charge.charge_id}", tenant.tenant_id),
            before={"state": ChargeState.UNRESOLVED.value},
            after={"state": charge.state.value, "note": why},
        )
        return charge
