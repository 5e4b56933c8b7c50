"""Money in: top-ups, booked or charged, and transfers from tenant to tenant."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from callgate.v1 import credits_pb2 as pb
from policy.facts import Tenant
from server.calls.messages.fields import InvalidRequest
from server.funding.applying import Kind
from server.funding.charge_rows import TOP_UP, ChargeRow, ChargeState, add_charge
from server.funding.errors import FundingRefused, Why
from server.funding.funding_rows import FundingRow, read_funding
from server.funding.purchase_rules import (
    require_admitted,
    require_below_most,
    require_purchase,
)
from server.funding.request_rows import FundingRequest
from server.funding.requests import Asked, pending_micros
from server.services.credits.fields import amount_micros, note, require_space
from server.services.credits.messages import new_lot, set_charge
from server.services.credits.shared import (
    MOST_SECONDS,
    CreditParts,
    asked_for,
    in_time,
    known_account,
    require_balance,
    require_open,
    require_operator,
)
from server.transport.contract import Context

_CHARGE_ID_DIGITS = 24
# Kept back of the caller's deadline, to answer that the charge is pending.
_MARGIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Purchases:
    """Answers TopUp and Transfer."""

    parts: CreditParts
    # Charges that go on although who asked for them has been answered.
    _under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    async def top_up(self, request: pb.TopUpRequest, context: Context) -> pb.TopUpResponse:
        """Add a lot, once for the request's id."""
        tenant = self.parts.tenant(request.tenant_id)
        if not request.charge or request.HasField("expire_time"):
            # Money that somebody says has come in, or that is to last longer than others'.
            require_operator()
        require_balance(tenant)
        micros = amount_micros(request.amount, tenant.currency)
        asked = self._asked(request, tenant, micros)

        def check(row: FundingRow, balance_micros: int) -> None:
            require_space(micros, balance_micros)
            row.country = tenant.country
            require_purchase(
                row, micros, balance_micros, currency=tenant.currency, rules=self.parts.rules
            )

        async with (
            in_time(context.time_remaining()),
            known_account(self.parts, tenant.tenant_id),
        ):
            done = await self.parts.funding_requests.purchase(asked, check)
        if request.charge:
            return await self._charged(done, tenant, context.time_remaining())
        return pb.TopUpResponse(lot=_lot_of(done.body, tenant.currency))

    async def transfer(self, request: pb.TransferRequest, context: Context) -> pb.TransferResponse:
        """Move money that no running call holds to another tenant."""
        tenant, receiver = self._two_tenants(request)
        micros = amount_micros(request.amount, tenant.currency)
        body = {
            "debit_id": f"transfer:{request.request_id}",
            "micros": micros,
            # What is borrowed is not there to be given away.
            "overdraft_micros": None,
            "to_tenant_id": receiver.tenant_id,
            "currency": tenant.currency,
            "lot_id": f"transfer:{tenant.tenant_id}:{request.request_id}",
            "expire_ms": self.parts.lot_expire_ms(request, receiver),
        }
        content = {
            "to_tenant_id": receiver.tenant_id,
            "micros": str(micros),
            "expire_time": _content_of_time(request),
            "note": note(request.note),
        }

        async with in_time(context.time_remaining()), known_account(self.parts, receiver.tenant_id):
            there_micros = await self.parts.funding_requests.balance_micros(receiver.tenant_id)

        def settle(connection: Connection, row: FundingRow) -> Mapping[str, Any]:
            require_open(row)
            theirs = read_funding(connection, receiver.tenant_id)
            theirs.country = receiver.country
            require_admitted(theirs)
            after = there_micros + pending_micros(connection, receiver.tenant_id)
            require_space(micros, after)
            require_below_most(
                theirs, micros, after, currency=receiver.currency, rules=self.parts.rules
            )
            return body

        asked = asked_for(tenant, request.request_id, Kind.TRANSFER, content=content, body=body)
        done = await self.parts.ask(replace(asked, settle=settle), context.time_remaining())
        return pb.TransferResponse(lot=_lot_of(done.body, tenant.currency))

    def _two_tenants(self, request: pb.TransferRequest) -> tuple[Tenant, Tenant]:
        tenant, receiver = (
            self.parts.tenant(request.tenant_id),
            self.parts.tenant(request.to_tenant_id, "to_tenant_id"),
        )
        if tenant.tenant_id == receiver.tenant_id:
            raise InvalidRequest("to_tenant_id", "another tenant than tenant_id")
        require_balance(tenant)
        require_balance(receiver)
        if tenant.currency != receiver.currency:
            text = f"{receiver.tenant_id} is kept in {receiver.currency}."
            metadata = {"currency_code": receiver.currency}
            raise FundingRefused(Why.CURRENCIES_DIFFER, text, metadata)
        return tenant, receiver

    def _asked(self, request: pb.TopUpRequest, tenant: Tenant, micros: int) -> Asked:
        content = {
            "micros": str(micros),
            "charge": str(request.charge),
            "expire_time": _content_of_time(request),
            "note": note(request.note),
        }
        body = {
            "lot_id": f"top_up:{request.request_id}",
            "micros": micros,
            "expire_ms": self.parts.lot_expire_ms(request, tenant),
        }
        if not request.charge:
            return asked_for(tenant, request.request_id, Kind.TOP_UP, content=content, body=body)
        self._require_payable(micros, tenant.currency)
        charge_id = _charge_id(tenant.tenant_id, request.request_id)
        body |= {"charge_id": charge_id, "lot_id": f"{TOP_UP}:{charge_id}"}
        asked = asked_for(
            tenant, request.request_id, Kind.CHARGED_TOP_UP, content=content, body=body
        )

        def settle(connection: Connection, row: FundingRow) -> Mapping[str, Any]:
            require_open(row)
            add_charge(connection, _charge(body, row, tenant, now_ms=self.parts.now_ms()))
            return body

        return replace(asked, settle=settle)

    def _require_payable(self, micros: int, currency: str) -> None:
        if self.parts.charging is None:
            raise FundingRefused(Why.PAYMENTS_OFF, "No payment provider is set up.")
        instead = self.parts.charging.payments.counting.objection(micros, currency)
        if instead:
            raise InvalidRequest("amount.micros", instead)

    async def _charged(
        self, done: FundingRequest, tenant: Tenant, remaining_seconds: float | None
    ) -> pb.TopUpResponse:
        """Take the charge as far as it goes while its caller waits; a keeper goes on with it."""
        assert self.parts.charging is not None
        work = asyncio.create_task(self.parts.charging.advance(done.body["charge_id"]))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        seconds = MOST_SECONDS if remaining_seconds is None else remaining_seconds
        await asyncio.wait({work}, timeout=max(0.0, seconds - _MARGIN_SECONDS))
        response = pb.TopUpResponse()
        charge = work.result() if work.done() else None
        if charge is None:
            response.charge.charge_id = done.body["charge_id"]
            response.charge.state = pb.CHARGE_STATE_PENDING
            return response
        if charge.state is ChargeState.DECLINED:
            metadata = {"charge_id": charge.charge_id, "code": charge.reason}
            raise FundingRefused(
                Why.PAYMENT_DECLINED, charge.detail or "The payment was declined.", metadata
            )
        set_charge(response.charge, charge)
        if charge.state is ChargeState.CREDITED:
            response.lot.CopyFrom(_lot_of(done.body, tenant.currency))
        return response


def _charge(body: Mapping[str, Any], row: FundingRow, tenant: Tenant, *, now_ms: int) -> ChargeRow:
    return ChargeRow(
        charge_id=body["charge_id"],
        tenant_id=tenant.tenant_id,
        purpose=TOP_UP,
        state=ChargeState.INTENT,
        micros=body["micros"],
        currency=tenant.currency,
        payment_customer=row.payment_customer,
        expire_ms=body["expire_ms"],
        create_ms=now_ms,
    )


def _charge_id(tenant_id: str, request_id: str) -> str:
    digest = hashlib.sha256(f"{tenant_id}\x1f{request_id}".encode())
    return digest.hexdigest()[:_CHARGE_ID_DIGITS]


def _lot_of(body: Mapping[str, Any], currency: str) -> pb.Lot:
    return new_lot(body["lot_id"], body["micros"], body["expire_ms"], currency=currency)


def _content_of_time(request: pb.TopUpRequest | pb.TransferRequest) -> str:
    return str(request.expire_time.ToNanoseconds()) if request.HasField("expire_time") else ""
