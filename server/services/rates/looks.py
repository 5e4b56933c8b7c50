"""Rates looked up: in the catalogue in use, in memory."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from callgate.v1 import rates_pb2 as pb
from policy.destination import Destination, find_destination
from policy.facts import Catalogue, DatedRate
from policy.rating import rate_for_destination
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.facts import FactsInUse
from server.services.paging import read_page
from server.services.rates.messages import listed_rate
from server.transport.contract import Context

# So many prefixes are looked at before the loop is given back.
_SLICE: Final = 2_000
_DIGITS: Final = 15

Rates = Mapping[str, tuple[DatedRate, ...]]


@dataclass(frozen=True, slots=True)
class RateLooks:
    """Answers what `rates.proto` promises of looking."""

    facts: FactsInUse
    now_ms: Callable[[], int]

    async def list_rates(self, request: pb.ListRatesRequest, _: Context) -> pb.ListRatesResponse:
        """List a page, in slices, however many rates there are."""
        catalogue = self.facts.current.catalogue
        table = _table(catalogue, request.currency_code)
        wanted = request.prefix
        if wanted and not (wanted.isascii() and wanted.isdecimal() and len(wanted) <= _DIGITS):
            raise InvalidRequest("prefix", f"at most {_DIGITS} digits, without +")
        page = read_page(
            ("rates", request.currency_code, wanted), request.page_size, request.page_token
        )
        found = await _first_after(table, wanted, after=page.after, count=page.size + 1)
        shown = found[: page.size]
        return pb.ListRatesResponse(
            rates=[
                listed_rate(prefix, _leads_to(catalogue, prefix), row)
                for prefix in shown
                for row in table[prefix]
            ],
            next_page_token=page.token_after(shown[-1]) if len(found) > page.size else "",
            catalogue_version=catalogue.version,
        )

    async def look_up_rate(
        self, request: pb.LookUpRateRequest, _: Context
    ) -> pb.LookUpRateResponse:
        """Say what a number costs, and what it will."""
        catalogue = self.facts.current.catalogue
        table = _table(catalogue, request.currency_code)
        e164 = limits.a_number("number", request.number)
        digits = e164.removeprefix("+")
        if not (
            e164.startswith("+")
            and digits.isascii()
            and digits.isdecimal()
            and len(digits) <= _DIGITS
        ):
            raise InvalidRequest("number", 'a number in E.164: "+" and at most 15 digits')
        at_ms = request.time.ToMilliseconds() if request.HasField("time") else self.now_ms()
        leads_to = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
        answer = pb.LookUpRateResponse(catalogue_version=catalogue.version)
        if leads_to is None:
            return answer
        answer.country, answer.label = leads_to.country, leads_to.label
        answer.number_class = leads_to.number_class.value
        rate = rate_for_destination(catalogue, request.currency_code, e164, now_ms=at_ms)
        prefixes = [digits[:end] for end in range(len(digits), 0, -1) if digits[:end] in table]
        for prefix in prefixes:
            for row in table[prefix]:
                if rate is not None and row.rate is rate:
                    answer.rate.CopyFrom(listed_rate(prefix, leads_to, row))
        coming = sorted(
            (row.valid_from_ms, prefix)
            for prefix in prefixes
            for row in table[prefix]
            if row.valid_from_ms > at_ms
        )
        answer.coming.extend(
            listed_rate(prefix, leads_to, row)
            for at, prefix in coming
            for row in table[prefix]
            if row.valid_from_ms == at
        )
        return answer


async def _first_after(table: Rates, wanted: str, *, after: str, count: int) -> list[str]:
    """Find the first prefixes after one, without holding the loop."""
    found: list[str] = []
    prefixes = iter(list(table))
    while piece := list(islice(prefixes, _SLICE)):
        fitting = (one for one in piece if one.startswith(wanted) and one > after)
        found = heapq.nsmallest(count, [*found, *fitting])
        await asyncio.sleep(0)
    return found


def _table(catalogue: Catalogue, currency: str) -> Rates:
    table = catalogue.rates.get(currency)
    if table is None:
        raise InvalidRequest("currency_code", f"one of {', '.join(catalogue.rates)}")
    return table


def _leads_to(catalogue: Catalogue, prefix: str) -> Destination | None:
    digits = prefix.partition("/")[0]
    known = catalogue.destinations.get(prefix)
    return known or find_destination(catalogue.destinations, catalogue.longest_prefix, f"+{digits}")
