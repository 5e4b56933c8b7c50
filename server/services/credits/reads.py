"""Looking at money: balances now and then, lots, statements. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from callgate.v1 import credits_pb2 as pb
from policy.rating import MAX_WHOLE_NUMBER
from server.archive import LotRow, tables
from server.calls.messages.fields import page_size
from server.calls.messages.parts import set_money
from server.funding.statement import StatementQuestion, balance_at, read_statement
from server.services.credits.fields import past_ms
from server.services.credits.messages import (
    balance_response,
    page_token,
    place_of,
    set_line,
    set_lot,
)
from server.services.credits.shared import CreditParts, currency_of, in_time
from server.transport.contract import Context


class _LotsQuestion(NamedTuple):
    tenant_id: str
    show_spent: bool
    limit: int
    after_ms: int
    skip: int


@dataclass(frozen=True, slots=True)
class Looking:
    """Answers GetBalance, ListLots and GetStatement."""

    parts: CreditParts

    async def get_balance(
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        """Read the balance of one tenant, now or at a past time."""
        tenant = self.parts.tenant(request.tenant_id)
        if not request.HasField("at_time"):
            remaining = context.time_remaining()
            return balance_response(await self.parts.accounts.balance(tenant.tenant_id, remaining))
        time_ms = past_ms(request.at_time, "at_time")
        async with in_time(context.time_remaining()):
            found, currency = await self.parts.database.read(
                lambda c: (balance_at(c, tenant.tenant_id, time_ms), currency_of(c, tenant))
            )
        return _past_balance(currency, found)

    async def list_lots(self, request: pb.ListLotsRequest, context: Context) -> pb.ListLotsResponse:
        """List lots by expiry; the first one is spent first."""
        tenant = self.parts.tenant(request.tenant_id)
        place = place_of(request.page_token) or (0, 0, 0)
        question = _LotsQuestion(
            tenant.tenant_id,
            request.show_spent,
            page_size(request.page_size),
            place[0],
            place[1],
        )
        async with in_time(context.time_remaining()):
            lots, currency = await self.parts.database.read(
                lambda c: (_read_lots(c, question), currency_of(c, tenant))
            )
        response = pb.ListLotsResponse()
        for lot in lots[: question.limit]:
            set_lot(response.lots.add(), lot, currency)
        if len(lots) > question.limit:
            last_ms = lots[question.limit - 1].expire_ms
            # Of lots that expire at once, those that were told already.
            told = sum(lot.expire_ms == last_ms for lot in lots[: question.limit])
            told += question.skip if last_ms == question.after_ms else 0
            response.next_page_token = page_token((last_ms, told, 0))
        return response

    async def get_statement(
        self, request: pb.GetStatementRequest, context: Context
    ) -> pb.GetStatementResponse:
        """Read what moved the balance in a time."""
        tenant = self.parts.tenant(request.tenant_id)
        end_ms = MAX_WHOLE_NUMBER
        if request.HasField("end_time"):
            end_ms = past_ms(request.end_time, "end_time")
        question = StatementQuestion(
            tenant.tenant_id,
            past_ms(request.start_time, "start_time"),
            end_ms,
            page_size(request.page_size),
            place_of(request.page_token),
        )
        async with in_time(context.time_remaining()):
            found, currency = await self.parts.database.read(
                lambda c: (read_statement(c, question), currency_of(c, tenant))
            )
        response = pb.GetStatementResponse(next_page_token=page_token(found.after))
        if found.opening_micros is not None:
            set_money(response.opening_balance, found.opening_micros, currency)
        for line in found.lines:
            set_line(response.lines.add(), line, currency)
        return response


def _past_balance(currency: str, found: tuple[int, int] | None) -> pb.GetBalanceResponse:
    response = pb.GetBalanceResponse()
    if found is not None:
        available, reserved = found
        set_money(response.balance, available + reserved, currency)
        set_money(response.available, available, currency)
        set_money(response.reserved, reserved, currency)
    return response


def _read_lots(connection: Connection, question: _LotsQuestion) -> list[LotRow]:
    """Read one lot more than a page takes."""
    lots = tables.LOTS.c
    order = (lots.expire_ms, lots.purchase_ms, lots.lot_id)
    query = select(tables.LOTS).where(
        lots.tenant_id == question.tenant_id, lots.expire_ms >= question.after_ms
    )
    if not question.show_spent:
        query = query.where(lots.left_micros > 0)
    rows = connection.execute(
        query.order_by(*order).offset(question.skip).limit(question.limit + 1)
    )
    return [LotRow(**dict(row)) for row in rows.mappings()]
