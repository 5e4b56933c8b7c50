"""Advice for the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callgate.v1 import advice_pb2 as pb
from callgate.v1 import credits_pb2
from callgate.v1.money_pb2 import Money
from policy.funding_advice import Advice, Circumstances, Limit, Spent
from policy.funding_play import Played
from server.calls.messages.parts import set_time
from server.funding.funding_rows import FundingRow
from server.services.credits.messages import etag_of
from server.usage.spending import Spending, day_name

_LIMITS = {
    Limit.MINIMUM: pb.ADVICE_LIMIT_MINIMUM,
    Limit.MAX_BALANCE: pb.ADVICE_LIMIT_MAX_BALANCE,
    Limit.MONTHLY_LIMIT: pb.ADVICE_LIMIT_MONTHLY_LIMIT,
    Limit.BURST: pb.ADVICE_LIMIT_BURST,
    Limit.LOT_LIFE: pb.ADVICE_LIMIT_LOT_LIFE,
}


@dataclass(frozen=True, slots=True)
class Told:
    """Writes an answer, part by part: its money in a currency, its days in a zone."""

    response: pb.AdviseFundingResponse
    currency: str
    zone: str

    def spending(self, spending: Spending, spent: Spent) -> None:
        """Tell what was spent."""
        response = self.response
        if not spent.days:
            response.basis = pb.ADVICE_BASIS_TOO_FEW_DAYS
            return
        response.first_day = day_name(spending.start_ms, self.zone)
        dearest = max(spent.days)
        response.dearest_day = day_name(spending.days[spent.days.index(dearest)], self.zone)
        response.dearest_day_spending.CopyFrom(self._money(dearest))
        if not spent.is_enough:
            response.basis = pb.ADVICE_BASIS_TOO_FEW_DAYS
            return
        is_spent = sum(spent.weeks) > 0
        response.basis = pb.ADVICE_BASIS_SPENDING if is_spent else pb.ADVICE_BASIS_NOTHING_SPENT
        response.weekdays.extend(self._money(round(each)) for each in spent.weekdays)
        response.week_growth.CopyFrom(self._money(round(spent.week_growth)))

    def advice(self, advice: Advice, around: Circumstances, funding: FundingRow) -> None:
        """Tell what to set beside what is set."""
        response = self.response
        response.held.CopyFrom(self._money(advice.held_micros))
        response.month.CopyFrom(self._money(advice.month_micros))
        response.arrival.FromMilliseconds(around.arrival_ms)
        response.limits.extend(sorted(_LIMITS[limit] for limit in advice.limits))
        response.etag = etag_of(funding)
        monthly = funding.monthly_limit_micros
        for recharge, enabled, trigger, amount in (
            (response.advised, True, advice.trigger_micros, advice.amount_micros),
            (
                response.present,
                funding.recharge_enabled,
                funding.trigger_micros,
                funding.amount_micros,
            ),
        ):
            self._recharge(recharge, monthly, enabled=enabled)
            recharge.trigger.CopyFrom(self._money(trigger))
            recharge.amount.CopyFrom(self._money(amount))

    def balance(self, micros: int, ends: Sequence[int | None]) -> None:
        """Tell a balance, and on which days it ends."""
        self.response.balance.CopyFrom(self._money(micros))
        names = ["" if each is None else day_name(each, self.zone) for each in ends]
        self.response.balance_ends_p50, self.response.balance_ends_p90 = names

    def test(self, test: pb.BackTest, played: Played) -> None:
        """Tell how it would have gone."""
        for name in ("opening", "recharged", "lowest", "forfeited"):
            getattr(test, name).CopyFrom(self._money(getattr(played, f"{name}_micros")))
        test.recharges, test.refused = played.recharges, played.refused
        test.at_zero.FromMilliseconds(played.at_zero_ms)
        set_time(test.lowest_time, played.lowest_ms)
        for day in played.days:
            told = test.days.add(day=day_name(day.start_ms, self.zone))
            told.lowest.CopyFrom(self._money(day.lowest_micros))
            told.closing.CopyFrom(self._money(day.closing_micros))
            told.recharged.CopyFrom(self._money(day.recharged_micros))

    def _recharge(
        self, recharge: credits_pb2.AutoRecharge, monthly: int | None, *, enabled: bool
    ) -> None:
        recharge.enabled = enabled
        if monthly is not None:
            recharge.monthly_limit.CopyFrom(self._money(monthly))

    def _money(self, micros: int) -> Money:
        return Money(micros=micros, currency_code=self.currency)
