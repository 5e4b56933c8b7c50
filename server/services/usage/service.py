"""The UsageService: reads the archive, in pieces that are soon over, and never for a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from google.protobuf.message import Message
from sqlalchemy import Connection

from callgate.v1 import usage_pb2 as pb
from policy.facts import Tenant
from policy.reasons import Reason
from server.access import find_tenant_by_id
from server.calls.messages import fields as limits
from server.calls.messages.advice import Advice
from server.calls.messages.fields import InvalidRequest
from server.facts import FactsInUse
from server.ledger import AccountUnknown, LedgerUnavailable
from server.ledger.journal.source import JournalSource
from server.services.decisions import messages as decisions_wire
from server.services.paging import Page, read_page
from server.services.usage import messages as wire
from server.services.usage.filters import (
    read_days,
    read_filter,
    read_form,
    read_groups,
    read_month,
    read_place,
)
from server.storage.sql.database import Database
from server.transport.contract import Context
from server.usage import export
from server.usage.decisions.finding import FoundDecision, Sought, find_decisions
from server.usage.periods import MOST_PERIODS, TooManyPeriods, day_at
from server.usage.pools import Month, read_pools
from server.usage.records import (
    MOST_GROUPS,
    Filter,
    Place,
    TooManyGroups,
    archived_until,
    count_records,
    list_records,
    sum_records,
)
from server.usage.reports.files import write_records

_MS_PER_DAY = 86_400_000
# An entry may be under way with a time of its own; it is written within so long, or not at all.
_UNDER_WAY_MS = 1_000
# Records of a chunk: formatted between two calls' turns, not in one long stretch.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class UsageReports:
    """Answers what `usage.proto` promises. `days` is how long decision records are kept."""

    database: Database
    facts: FactsInUse
    journal: JournalSource
    advice: Advice
    days: int
    now_ms: Callable[[], int]
    # Sums over a year take seconds: two at a time, so that other readers of the archive get theirs.
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def list_usage(
        self, request: pb.ListUsageRequest, _context: Context
    ) -> pb.ListUsageResponse:
        """List records in the order of booking."""
        tenant, wanted = self._wanted(request)
        page = _page_of(request, request.page_size)
        after, _ = read_place(page.after)
        complete_ms = await self._complete(tenant)
        found = await self.database.read(
            lambda c: list_records(c, wanted, after=after, limit=page.size + 1)
        )
        response = pb.ListUsageResponse()
        for record in found[: page.size]:
            wire.set_record(response.records.add(), export.masked(record, wanted.hidden_digits))
        if len(found) > page.size:
            response.next_page_token = _token(page, wire.place_of(found[page.size - 1]))
        wire.set_complete(response, complete_ms)
        return response

    async def summarize_usage(
        self, request: pb.SummarizeUsageRequest, _context: Context
    ) -> pb.SummarizeUsageResponse:
        """Add records up."""
        tenant, wanted = self._wanted(request)
        groups = read_groups(request.group_by)
        zone = tenant.time_zone
        complete_ms = await self._complete(tenant)
        response = pb.SummarizeUsageResponse(time_zone=zone)
        async with self._turns:
            try:
                sums, totals = await self.database.read(
                    lambda c: (
                        sum_records(c, wanted, groups, zone=zone) if groups else [],
                        sum_records(c, wanted, (), zone=zone),
                    )
                )
            except TooManyGroups:
                fix = f"what makes at most {MOST_GROUPS:,} groups: filter more, or group by less"
                raise InvalidRequest("group_by", fix) from None
            except TooManyPeriods:
                fix = f"so that it is at most {MOST_PERIODS} days, weeks or months"
                raise InvalidRequest("filter.start_date", fix) from None
        for each in sums:
            wire.set_sum(response.sums.add(), each)
        for each in totals:
            wire.set_sum(response.totals.add(), each)
        wire.set_complete(response, complete_ms)
        return response

    async def export_usage(self, request: pb.ExportUsageRequest, context: Context) -> None:
        """Write a file in chunks, each read when the one before is on its way."""
        tenant, wanted = self._wanted(request)
        form = read_form(request.format)
        page = _page_of(request, 0, "resume_token")
        after, end_ms = read_place(page.after)
        complete_ms = await self._complete(tenant)
        if end_ms is None:
            end_ms = wanted.to_ms if complete_ms is None else min(wanted.to_ms, complete_ms)
        wanted = replace(wanted, to_ms=end_ms)
        total = await self.database.read(lambda c: count_records(c, wanted, after=after))
        response = pb.ExportUsageResponse(total_records=total)
        wire.set_complete(response, complete_ms)
        is_first = after is None
        while True:
            found = await self.database.read(
                partial(list_records, wanted=wanted, after=after, limit=_CHUNK)
            )
            if not found and not is_first:
                return
            shown = [export.masked(record, wanted.hidden_digits) for record in found]
            response.data = await asyncio.to_thread(write_records, shown, form, header=is_first)
            response.records += len(found)
            if found:
                after = wire.place_of(found[-1])
                response.resume_token = _token(page, after, end_ms)
            await context.write(response)
            if len(found) < _CHUNK:
                return
            is_first = False

    async def list_attempts(
        self, request: pb.ListAttemptsRequest, _context: Context
    ) -> pb.ListAttemptsResponse:
        """List calls that were refused, or not answered."""
        tenant = self._tenant(request.tenant_id)
        account = request.account_id
        page = _page_of(request, request.page_size)
        from_ms, to_ms = read_days(request.start_date, request.end_date, zone=tenant.time_zone)
        now_ms = self.now_ms()
        sought = Sought(
            tenant.tenant_id,
            max(from_ms, now_ms - self.days * _MS_PER_DAY),
            to_ms or now_ms + _MS_PER_DAY,
            accounts=(limits.account_id("account_id", account),) if account else (),
            outcomes=("refusal", "released"),
        )
        after = decisions_wire.read_place(page.after)
        found = await self.database.read(
            lambda c: find_decisions(c, sought, after=after, limit=page.size + 1)
        )
        response = pb.ListAttemptsResponse()
        for each in found[: page.size]:
            if not each.record.get("dry_run") and not each.record.get("repeated"):
                self._set_attempt(response.attempts.add(), each)
        if len(found) > page.size:
            last = decisions_wire.place_text(found[page.size - 1].place)
            response.next_page_token = page.token_after(last)
        return response

    async def get_pools(
        self, request: pb.GetPoolsRequest, _context: Context
    ) -> pb.GetPoolsResponse:
        """Tell how full pools are."""
        tenant = self._tenant(request.tenant_id)
        now_ms = self.now_ms()
        first = read_month(request.month, day_at(now_ms, tenant.time_zone))
        month = Month(tenant.tenant_id, first, tenant.time_zone, now_ms)
        complete_ms = await self._complete(tenant)
        async with self._turns:
            fills = await self.database.read(lambda c: read_pools(c, month, tenant.pool_sizes))
        response = pb.GetPoolsResponse(month=month.name)
        for fill in fills:
            wire.set_pool(response.pools.add(), fill)
        wire.set_complete(response, complete_ms)
        return response

    def _tenant(self, asked: str) -> Tenant:
        """Find a tenant that the caller may ask about. Raises `TenantForbidden`."""
        return find_tenant_by_id(limits.tenant_id(asked), self.facts.current.directory)

    def _wanted(
        self, request: pb.ListUsageRequest | pb.SummarizeUsageRequest | pb.ExportUsageRequest
    ) -> tuple[Tenant, Filter]:
        tenant = self._tenant(request.tenant_id)
        # Clocks of engines differ a little.
        return tenant, read_filter(request.filter, tenant, self.now_ms() + _MS_PER_DAY)

    def _set_attempt(self, told: pb.Attempt, found: FoundDecision) -> None:
        decisions_wire.set_decision(told.decision, found)
        known = Reason.__members__.get(found.record.get("reason", ""))
        if known is not None:
            told.remedy = found.record.get("remedy") or self.advice.suggestions[known].remedy

    async def _complete(self, tenant: Tenant) -> int | None:
        """Say until when the archive has all; asked before it is read."""
        now_ms = self.now_ms() - _UNDER_WAY_MS
        try:
            place = (await self.journal.standing(tenant.tenant_id)).place
        except (AccountUnknown, LedgerUnavailable):
            return None
        at = (place.partition, place.epoch, place.n)

        def read(connection: Connection) -> int | None:
            return archived_until(connection, at, now_ms)

        return await self.database.read(read)


def _page_of(request: Message, size: int, field: str = "page_token") -> Page:
    """Read the page of a list that is made by all that was asked but for the page itself."""
    asked = type(request)()
    asked.CopyFrom(request)
    for name in ("page_token", "page_size", "resume_token"):
        if name in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField(name)
    of = (asked.SerializeToString(deterministic=True).hex(),)
    try:
        return read_page(of, size, getattr(request, field))
    except InvalidRequest as error:
        if error.field != "page_token":
            raise
        raise InvalidRequest(field, error.fix) from error


def _token(page: Page, place: Place, *more: int) -> str:
    return page.token_after(".".join(map(str, (*place, *more))))
