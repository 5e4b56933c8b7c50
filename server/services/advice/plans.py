"""Which users would be cheaper on another plan, or without a credits licence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callgate.v1 import advice_pb2 as pb
from policy.facts import Plan
from policy.plan_advice import Better, Offers, better_licences
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.parts import set_money
from server.services.credits.fields import amount_micros
from server.services.credits.shared import CreditParts, currency_of, in_time
from server.transport.contract import Context
from server.usage.spending import day_starts, read_used_credits

_DAYS = 30
_MOST_PRICES, _MOST_TOLD = 20, 1_000

# The plans of the catalogue, by (plan, usage country or "*"); read anew each time.
Plans = Callable[[], Mapping[tuple[str, str], Plan]]


@dataclass(frozen=True, slots=True)
class LicenceAdvice:
    """Answers AdvisePlans. `turn` is shared with whatever else takes long beside the calls."""

    parts: CreditParts
    plans: Plans
    turn: asyncio.Lock

    async def advise_plans(
        self, request: pb.AdvisePlansRequest, context: Context
    ) -> pb.AdvisePlansResponse:
        """Compare what users spent with what plans cost."""
        tenant = self.parts.tenant(request.tenant_id)
        days = day_starts(self.parts.now_ms(), tenant.time_zone, _DAYS)
        catalogue = self.parts.accounts.facts.current.catalogue
        async with in_time(context.time_remaining()):
            currency = await self.parts.database.read(lambda c: currency_of(c, tenant))
            prices = _prices(request, currency)
            used = await self.parts.database.read(
                lambda c: read_used_credits(
                    c, tenant.tenant_id, currency=currency, from_ms=days[0], to_ms=days[-1]
                )
            )

            def compare() -> list[Better]:
                offers = Offers(self.plans(), prices, catalogue)
                return better_licences(tenant.users, used, offers)

            async with self.turn:
                found = await asyncio.to_thread(compare)
        return _response(found, currency)


def _prices(request: pb.AdvisePlansRequest, currency: str) -> dict[str, int]:
    if len(request.prices) > _MOST_PRICES:
        raise InvalidRequest("prices", f"at most {_MOST_PRICES}")
    prices: dict[str, int] = {}
    for at, price in enumerate(request.prices):
        if not price.licence or price.licence in prices:
            raise InvalidRequest(f"prices[{at}].licence", "the name of a licence, each once")
        where = f"prices[{at}].month_price"
        prices[price.licence] = amount_micros(price.month_price, currency, field=where, least=0)
    return prices


def _response(found: list[Better], currency: str) -> pb.AdvisePlansResponse:
    response = pb.AdvisePlansResponse()
    set_money(response.saved, sum(each.saved_micros for each in found), currency)
    for each in found[:_MOST_TOLD]:
        told = response.users.add(
            user_id=each.user_id,
            plan=each.plan or "",
            credits_licence_unused=each.plan is None,
        )
        set_money(told.spent, each.spent_micros, currency)
        set_money(told.covered, each.covered_micros, currency)
        set_money(told.saved, each.saved_micros, currency)
    return response
