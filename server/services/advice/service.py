"""The AdviceService: reads what was spent and how recharges went, and asks the policy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import Connection

from callgate.v1 import advice_pb2 as pb
from policy.facts import Tenant
from policy.funding_advice import Advice, Circumstances, Spent, advise, arrival_of, days_left
from policy.funding_play import PlayedLot, Recharge, Stage, play
from server.calls.messages.fields import InvalidRequest
from server.funding.auto_recharge import Burst, month_of
from server.funding.charge_rows import RECHARGE, Arrivals, read_arrivals
from server.funding.funding_rows import FundingRow, read_funding
from server.funding.statement import balance_at
from server.ledger import Balance
from server.services.advice import messages as wire
from server.services.credits.messages import set_funding
from server.services.credits.recharge_settings import FundingSettings
from server.services.credits.shared import CreditParts, currency_of, in_time, require_balance
from server.transport.contract import Context
from server.usage.spending import Spending, opening_lots, read_lots, read_spending

_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What the archive knows of a tenant's money."""

    currency: str
    spending: Spending
    funding: FundingRow
    arrivals: Arrivals
    lots: list[tuple[str, PlayedLot]]
    opening_micros: int


@dataclass(frozen=True, slots=True)
class FundingAdvice:
    """Answers what `advice.proto` promises.

    `slice_seconds` is what a call holds at most, `rest_ms` how long recharges rest after a decline.
    """

    parts: CreditParts
    settings: FundingSettings
    burst: Burst
    slice_seconds: int
    rest_ms: int
    # It is arithmetic over thousands of figures, in a thread: one at a time beside the calls.
    turn: asyncio.Lock

    async def advise_funding(
        self, request: pb.AdviseFundingRequest, context: Context
    ) -> pb.AdviseFundingResponse:
        """Say what to set, when the balance ends, and how the last days would have gone."""
        tenant = self.parts.tenant(request.tenant_id)
        require_balance(tenant)
        balance = await self.parts.accounts.balance(tenant.tenant_id, context.time_remaining())
        async with in_time(context.time_remaining()):
            known = await self.parts.database.read(lambda c: self._read(c, tenant))
            async with self.turn:
                return await asyncio.to_thread(self._advise, tenant, known, balance)

    async def apply_funding_advice(
        self, request: pb.ApplyFundingAdviceRequest, context: Context
    ) -> pb.ApplyFundingAdviceResponse:
        """Set what was advised, if nothing has changed since."""
        tenant = self.parts.tenant(request.tenant_id)
        if not request.etag:
            raise InvalidRequest("etag", "the etag that came with the advice")
        row = await self.settings.set_recharge(
            tenant, request.advised, context, etag=request.etag, action="ApplyFundingAdvice"
        )
        response = pb.ApplyFundingAdviceResponse()
        set_funding(response.funding, row, tenant.currency)
        return response

    def _read(self, connection: Connection, tenant: Tenant) -> _Known:
        tenant_id, currency = tenant.tenant_id, currency_of(connection, tenant)
        spending = read_spending(
            connection,
            tenant_id,
            zone=tenant.time_zone,
            currency=currency,
            now_ms=self.parts.now_ms(),
        )
        found = balance_at(connection, tenant_id, spending.start_ms)
        return _Known(
            currency,
            spending,
            read_funding(connection, tenant_id),
            read_arrivals(connection, tenant_id, spending.start_ms),
            read_lots(connection, tenant_id),
            sum(found) if found else 0,
        )

    def _advise(self, tenant: Tenant, known: _Known, balance: Balance) -> pb.AdviseFundingResponse:
        zone, now_ms = tenant.time_zone, self.parts.now_ms()
        spent = known.spending.spent(zone)
        around = self._around(tenant, known, balance)
        advice = advise(spent, around)
        response = pb.AdviseFundingResponse(
            days=len(spent.days),
            time_zone=zone,
            arrivals=len(known.arrivals.times_ms),
            declined=known.arrivals.declined,
        )
        told = wire.Told(response, known.currency, zone)
        told.spending(known.spending, spent)
        told.advice(advice, around, known.funding)
        told.balance(balance.balance_micros or 0, _ends(spent, known, balance, now_ms=now_ms))
        stage = _stage(known, self.parts, zone)
        for test, recharge in (
            (response.advised_test, _advised(advice, around)),
            (response.present_test, _present(known.funding, around)),
        ):
            if spent.days:
                told.test(test, play(stage, recharge))
        return response

    def _around(self, tenant: Tenant, known: _Known, balance: Balance) -> Circumstances:
        rules, funding, now_ms = self.parts.rules, known.funding, self.parts.now_ms()
        own_limits = (funding.max_balance_micros, rules.max_balance_micros)
        return Circumstances(
            held_micros=balance.reserved_micros,
            slice_seconds=self.slice_seconds,
            arrival_ms=arrival_of(known.arrivals.times_ms, self.rest_ms),
            least_micros=rules.purchase_micros(0, known.currency),
            lot_life_ms=rules.lot_life.expire_ms(now_ms, tenant.time_zone) - now_ms,
            burst_most=self.burst.most,
            burst_within_ms=self.burst.within_ms,
            max_balance_micros=next((one for one in own_limits if one is not None), None),
            monthly_limit_micros=funding.monthly_limit_micros,
        )


def _ends(spent: Spent, known: _Known, balance: Balance, *, now_ms: int) -> tuple[int | None, ...]:
    """Say on which days a balance ends, by the times at which they begin; with its lots at last."""
    today_ms = known.spending.days[-1]
    left = Fraction(max(0, today_ms + _MS_PER_DAY - now_ms), _MS_PER_DAY)
    last_ms = max((lot.expire_ms for _, lot in known.lots), default=0)
    ends: list[int | None] = []
    for days in days_left(spent, balance.balance_micros or 0, min(left, Fraction(1))):
        if days is None:
            ends.append(None)
            continue
        # Noon of it, so that no change of the clock leads to another day.
        at_ms = today_ms + days * _MS_PER_DAY + _MS_PER_DAY // 2
        ends.append(min(at_ms, max(last_ms, now_ms)))
    return tuple(ends)


def _stage(known: _Known, parts: CreditParts, zone: str) -> Stage:
    start_ms = known.spending.start_ms
    lots = [lot for _, lot in known.lots]
    by_hand = [lot for lot_id, lot in known.lots if not lot_id.startswith(f"{RECHARGE}:")]

    def month(time_ms: int) -> tuple[str, int]:
        begin_ms, end_ms = month_of(time_ms, zone)
        return str(begin_ms), end_ms

    return Stage(
        days=known.spending.days,
        opening=opening_lots(lots, known.opening_micros, start_ms),
        spending=known.spending.steps,
        deposits=[lot for lot in by_hand if lot.time_ms >= start_ms],
        lot_expires=lambda bought_ms: parts.rules.lot_life.expire_ms(bought_ms, zone),
        month_of=month,
    )


def _advised(advice: Advice, around: Circumstances) -> Recharge:
    return Recharge(
        advice.trigger_micros,
        advice.amount_micros,
        monthly_limit_micros=around.monthly_limit_micros,
        max_balance_micros=around.max_balance_micros,
        burst_most=around.burst_most,
        burst_within_ms=around.burst_within_ms,
        arrival_ms=around.arrival_ms,
    )


def _present(funding: FundingRow, around: Circumstances) -> Recharge:
    return Recharge(
        funding.trigger_micros,
        funding.amount_micros,
        enabled=funding.recharge_enabled,
        monthly_limit_micros=around.monthly_limit_micros,
        max_balance_micros=around.max_balance_micros,
        burst_most=around.burst_most,
        burst_within_ms=around.burst_within_ms,
        arrival_ms=around.arrival_ms,
    )
