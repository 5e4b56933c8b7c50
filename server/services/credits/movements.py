"""Money out and back, and whether an account may be used at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from callgate.v1 import credits_pb2 as pb
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.parts import set_money
from server.funding.applying import Kind
from server.funding.funding_rows import FundingRow
from server.funding.refunds import CALL, DEBIT, Reference, paid_how, refund_parts
from server.funding.requests import Asked
from server.services.credits import messages as funding
from server.services.credits.fields import amount_micros, lot_id, note, request_id
from server.services.credits.shared import CreditParts, asked_for, require_balance
from server.transport.contract import Context


@dataclass(frozen=True, slots=True)
class Movements:
    """Answers what moves money out or back, and says whether and how far an account may go."""

    parts: CreditParts

    async def void_lot(self, request: pb.VoidLotRequest, context: Context) -> pb.VoidLotResponse:
        """Take a lot out of use."""
        tenant, lot = self.parts.tenant(request.tenant_id), lot_id(request.lot_id)
        content = {"lot_id": lot, "note": note(request.note)}
        asked = asked_for(
            tenant, request.request_id, Kind.VOID_LOT, content=content, body={"lot_id": lot}
        )
        await self.parts.ask(_also_when_closed(asked, {"lot_id": lot}), context.time_remaining())
        return pb.VoidLotResponse(lot_id=lot)

    async def debit(self, request: pb.DebitRequest, context: Context) -> pb.DebitResponse:
        """Take money that no running call holds."""
        tenant = self.parts.tenant(request.tenant_id)
        micros = amount_micros(request.amount, tenant.currency)
        body = {
            "debit_id": f"debit:{request.request_id}",
            "micros": micros,
            "overdraft_micros": tenant.overdraft_micros,
        }
        content = {"micros": str(micros), "note": note(request.note)}
        asked = asked_for(tenant, request.request_id, Kind.DEBIT, content=content, body=body)
        done = await self.parts.ask(_also_when_closed(asked, body), context.time_remaining())
        response = pb.DebitResponse()
        set_money(response.amount, done.body["micros"], tenant.currency)
        return response

    async def refund(self, request: pb.RefundRequest, context: Context) -> pb.RefundResponse:
        """Give back what a debit or a call took, into the lots it came from."""
        tenant, reference = self.parts.tenant(request.tenant_id), _reference(request)
        wanted = (
            amount_micros(request.amount, tenant.currency) if request.HasField("amount") else None
        )
        content = {"of": reference.text, "micros": str(wanted), "note": note(request.note)}
        asked = asked_for(tenant, request.request_id, Kind.REFUND, content=content, body={})

        def settle(connection: Connection, _: FundingRow) -> Mapping[str, Any]:
            split = refund_parts(connection, tenant.tenant_id, reference, micros=wanted)
            return {
                **paid_how(connection, tenant.tenant_id, reference),
                "parts": [
                    [f"refund:{request.request_id}:{number}", lot, micros]
                    for number, (lot, micros) in enumerate(split, start=1)
                ],
            }

        asked = replace(asked, settle=settle, reference=reference.text)
        done = await self.parts.ask(asked, context.time_remaining())
        return funding.refund_parts(done.body, tenant.currency)

    async def freeze_account(
        self, request: pb.FreezeAccountRequest, context: Context
    ) -> pb.FreezeAccountResponse:
        """Grant nothing more."""
        await self._set_frozen(request, context, frozen=True)
        return pb.FreezeAccountResponse()

    async def unfreeze_account(
        self, request: pb.UnfreezeAccountRequest, context: Context
    ) -> pb.UnfreezeAccountResponse:
        """Grant again, unless the account is closed."""
        await self._set_frozen(request, context, frozen=False)
        return pb.UnfreezeAccountResponse()

    async def close_account(
        self, request: pb.CloseAccountRequest, context: Context
    ) -> pb.CloseAccountResponse:
        """Grant nothing more, and take nothing in, for good."""
        tenant, body = self.parts.tenant(request.tenant_id), {"frozen": True}
        content = {"note": note(request.note)}
        asked = asked_for(tenant, request.request_id, Kind.CLOSE, content=content, body=body)
        await self.parts.ask(_also_when_closed(asked, body), context.time_remaining())
        return pb.CloseAccountResponse()

    async def set_credit_limit(
        self, request: pb.SetCreditLimitRequest, context: Context
    ) -> pb.SetCreditLimitResponse:
        """Let an account go so far below zero."""
        tenant = self.parts.tenant(request.tenant_id)
        require_balance(tenant)
        micros = amount_micros(request.credit_limit, tenant.currency, field="credit_limit", least=0)
        content = {"micros": str(micros), "note": note(request.note)}
        asked = asked_for(
            tenant, request.request_id, Kind.CREDIT_LIMIT, content=content, body={"micros": micros}
        )
        await self.parts.ask(asked, context.time_remaining())
        response = pb.SetCreditLimitResponse()
        set_money(response.credit_limit, micros, tenant.currency)
        return response

    async def _set_frozen(
        self,
        request: pb.FreezeAccountRequest | pb.UnfreezeAccountRequest,
        context: Context,
        *,
        frozen: bool,
    ) -> None:
        tenant = self.parts.tenant(request.tenant_id)
        content = {"frozen": str(frozen), "note": note(request.note)}
        asked = asked_for(
            tenant, request.request_id, Kind.FREEZE, content=content, body={"frozen": frozen}
        )
        await self.parts.ask(asked, context.time_remaining())


def _also_when_closed(asked: Asked, body: Mapping[str, Any]) -> Asked:
    return replace(asked, settle=lambda _connection, _row: body)


def _reference(request: pb.RefundRequest) -> Reference:
    match request.WhichOneof("of"):
        case "debit_request_id":
            return Reference(DEBIT, request_id(request.debit_request_id, "debit_request_id"))
        case "decision_id":
            return Reference(CALL, request_id(request.decision_id, "decision_id"))
        case _:
            raise InvalidRequest("of", "debit_request_id or decision_id: what is given back of")
