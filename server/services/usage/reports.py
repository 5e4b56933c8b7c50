"""Saved reports of the UsageService, and months that are closed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from callgate.v1 import usage_pb2 as pb
from policy.facts import Tenant
from server.access import current, find_tenant_by_id
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.parts import set_time
from server.facts import FactsInUse
from server.services.usage.filters import (
    CORRECTIONS,
    DIRECTIONS,
    FORMS,
    PURSES,
    known,
    read_filter,
    read_form,
)
from server.storage.sql.audit import Audited, AuditTrail
from server.storage.sql.database import Database
from server.transport.contract import Context
from server.usage.periods import Period, span_at
from server.usage.records import Filter
from server.usage.reports.closing import list_months
from server.usage.reports.saved import (
    SavedReport,
    delete_report,
    image_of,
    list_reports,
    save_report,
)

# Of a file's name too, so nothing that a shell or a folder would read.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_SCHEDULES: Mapping[int, Period | None] = {
    pb.REPORT_SCHEDULE_UNSPECIFIED: None,
    pb.REPORT_SCHEDULE_DAILY: Period.DAY,
    pb.REPORT_SCHEDULE_WEEKLY: Period.WEEK,
    pb.REPORT_SCHEDULE_MONTHLY: Period.MONTH,
}
_LISTS = ("account_ids", "call_types", "countries", "capabilities", "gateway_ids")
_SINGLE = ("number_prefix", "least_charge_micros", "call_id")


@dataclass(frozen=True, slots=True)
class SavedReports:
    """Answers what `usage.proto` promises of reports."""

    database: Database
    facts: FactsInUse
    audit: AuditTrail
    now_ms: Callable[[], int]

    async def create_usage_report(
        self, request: pb.CreateUsageReportRequest, _context: Context
    ) -> pb.CreateUsageReportResponse:
        """Save a report."""
        tenant = self._tenant(request.tenant_id)
        report = self._read(request.report, tenant)
        who, what = current().identity_id, _audited("CreateUsageReport", tenant, report.name)

        def work(connection: Connection) -> None:
            save_report(connection, report)
            self.audit.record(connection, who, what, before=None, after=image_of(report))

        await self.database.write(work)
        response = pb.CreateUsageReportResponse()
        _set_report(response.report, report)
        return response

    async def list_usage_reports(
        self, request: pb.ListUsageReportsRequest, _context: Context
    ) -> pb.ListUsageReportsResponse:
        """List reports."""
        tenant = self._tenant(request.tenant_id)
        found = await self.database.read(lambda c: list_reports(c, tenant.tenant_id))
        response = pb.ListUsageReportsResponse()
        for report in found:
            _set_report(response.reports.add(), report)
        return response

    async def delete_usage_report(
        self, request: pb.DeleteUsageReportRequest, _context: Context
    ) -> pb.DeleteUsageReportResponse:
        """Delete a report."""
        tenant, name = self._tenant(request.tenant_id), _name("name", request.name)
        who, what = current().identity_id, _audited("DeleteUsageReport", tenant, name)

        def work(connection: Connection) -> None:
            gone = delete_report(connection, tenant.tenant_id, name)
            self.audit.record(connection, who, what, before=image_of(gone), after=None)

        await self.database.write(work)
        return pb.DeleteUsageReportResponse()

    async def list_closed_months(
        self, request: pb.ListClosedMonthsRequest, _context: Context
    ) -> pb.ListClosedMonthsResponse:
        """List closed months."""
        tenant = self._tenant(request.tenant_id)
        response = pb.ListClosedMonthsResponse()
        for month in await self.database.read(lambda c: list_months(c, tenant.tenant_id)):
            told = response.months.add(
                month=month.month, records=month.records, sha256=month.sha256
            )
            set_time(told.start_time, month.from_ms)
            set_time(told.end_time, month.to_ms)
            set_time(told.close_time, month.close_ms)
        return response

    def _read(self, asked: pb.UsageReport, tenant: Tenant) -> SavedReport:
        for field in ("start_date", "end_date"):
            if getattr(asked.filter, field):
                raise InvalidRequest(f"report.filter.{field}", "empty: the period gives the days")
        now_ms = self.now_ms()
        try:
            wanted = read_filter(asked.filter, tenant, now_ms)
        except InvalidRequest as error:
            raise InvalidRequest(f"report.{error.field}", error.fix) from error
        name = _name("report.name", asked.name)
        every = known(_SCHEDULES, asked.schedule, "report.schedule")
        from_ms = to_ms = 0
        if every:
            _, from_ms, to_ms = span_at(every, tenant.time_zone, now_ms)
        wanted = replace(wanted, from_ms=from_ms, to_ms=to_ms)
        return SavedReport(name, wanted, read_form(asked.format, "report.format"), every)

    def _tenant(self, asked: str) -> Tenant:
        """Find a tenant that the caller may ask about. Raises `TenantForbidden`."""
        return find_tenant_by_id(limits.tenant_id(asked), self.facts.current.directory)


def _audited(action: str, tenant: Tenant, name: str) -> Audited:
    return Audited(action, f"tenants/{tenant.tenant_id}/reports/{name}", tenant.tenant_id)


def _name(field: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise InvalidRequest(field, "1 to 64 letters, digits, '-', '_' and '.', no '.' in front")
    return value


def _set_report(told: pb.UsageReport, report: SavedReport) -> None:
    told.name = report.name
    _set_filter(told.filter, report.wanted)
    told.format = _asked(FORMS, report.form)
    told.schedule = _asked(_SCHEDULES, report.every)
    if report.every:
        set_time(told.period_start_time, report.wanted.from_ms)
        set_time(told.period_end_time, report.wanted.to_ms)


def _set_filter(told: pb.UsageFilter, wanted: Filter) -> None:
    for name in _LISTS:
        getattr(told, name).extend(getattr(wanted, name))
    for name in _SINGLE:
        setattr(told, name, getattr(wanted, name))
    told.purses.extend(_asked(PURSES, purse) for purse in wanted.purses)
    told.direction = _asked(DIRECTIONS, wanted.direction)
    told.corrections = _asked(CORRECTIONS, wanted.corrections)


def _asked(values: Mapping[int, object], value: object) -> Any:
    """Name a value as the contract does."""
    return next(number for number, each in values.items() if each == value)
