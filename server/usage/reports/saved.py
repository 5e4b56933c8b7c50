"""Reports that tenants saved: which records, in which form, how often."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from server.usage import export
from server.usage.periods import Period, span_at
from server.usage.records import Filter
from server.usage.reports.tables import USAGE_REPORTS

MOST_REPORTS = 100
# By the name of a form; None is lines of JSON.
FORMS: Final[Mapping[str, Mapping[str, Callable[[export.Row], str]] | None]] = {
    "2025": export.COLUMNS_2025,
    "2021": export.COLUMNS_2021,
    "all": export.ALL_COLUMNS,
    "jsonl": None,
}
_ID_BYTES = 16
# What a report leaves open: it is of a tenant and a period, and masked as it is when it is sent.
_OPEN = ("tenant_id", "from_ms", "to_ms", "hidden_digits")

_REPORTS = USAGE_REPORTS.c


class ReportExists(Exception):
    """The tenant has a report of that name."""


class ReportUnknown(Exception):
    """The tenant has no report of that name."""


class TooManyReports(Exception):
    """The tenant has as many reports as it may."""


@dataclass(frozen=True, slots=True)
class SavedReport:
    """One report. `wanted` is of the period sent next; `every` is None where nobody sends it."""

    name: str
    wanted: Filter
    form: str
    every: Period | None
    report_id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))


def save_report(connection: Connection, report: SavedReport) -> None:
    """Save a new report. Raises `ReportExists` and `TooManyReports`."""
    wanted = report.wanted
    of_tenant = _REPORTS.tenant_id == wanted.tenant_id
    names = set(connection.scalars(select(_REPORTS.name).where(of_tenant)))
    if report.name in names:
        raise ReportExists
    if len(names) >= MOST_REPORTS:
        raise TooManyReports
    values = {
        "tenant_id": wanted.tenant_id,
        "name": report.name,
        "report_id": report.report_id,
        "body": msgspec.json.encode(image_of(report)["filter"]).decode(),
        "form": report.form,
        "every": report.every or "",
        "from_ms": wanted.from_ms,
        "to_ms": wanted.to_ms,
    }
    connection.execute(insert(USAGE_REPORTS).values(**values))


def list_reports(connection: Connection, tenant_id: str) -> list[SavedReport]:
    """List a tenant's reports by name."""
    query = select(USAGE_REPORTS).where(_REPORTS.tenant_id == tenant_id).order_by(_REPORTS.name)
    return list(map(_report, connection.execute(query)))


def delete_report(connection: Connection, tenant_id: str, name: str) -> SavedReport:
    """Delete a report and return it. Raises `ReportUnknown`."""
    here = (_REPORTS.tenant_id == tenant_id, _REPORTS.name == name)
    row = connection.execute(select(USAGE_REPORTS).where(*here).with_for_update()).first()
    if row is None:
        raise ReportUnknown
    connection.execute(delete(USAGE_REPORTS).where(*here))
    return _report(row)


def drop_reports(connection: Connection, tenant_id: str) -> None:
    """Delete all reports of a tenant that is gone."""
    connection.execute(delete(USAGE_REPORTS).where(_REPORTS.tenant_id == tenant_id))


def due_reports(
    connection: Connection, before_ms: int, after: tuple[str, str], *, limit: int
) -> list[SavedReport]:
    """List reports whose period was over before then, after a tenant's one of that name."""
    tenant_id, name = _REPORTS.tenant_id, _REPORTS.name
    query = (
        select(USAGE_REPORTS)
        .where(_REPORTS.every != "", _REPORTS.to_ms <= before_ms)
        .where((tenant_id > after[0]) | ((tenant_id == after[0]) & (name > after[1])))
        .order_by(tenant_id, name)
        .limit(limit)
    )
    return list(map(_report, connection.execute(query)))


def turn_over(connection: Connection, report: SavedReport, zone: str) -> SavedReport | None:
    """Go on to the next period; None where somebody else did, or the report is gone."""
    assert report.every is not None
    wanted = report.wanted
    end_ms = span_at(report.every, zone, wanted.to_ms).to_ms
    done = connection.execute(
        update(USAGE_REPORTS)
        .where(
            _REPORTS.tenant_id == wanted.tenant_id,
            _REPORTS.report_id == report.report_id,
            _REPORTS.from_ms == wanted.from_ms,
        )
        .values(from_ms=wanted.to_ms, to_ms=end_ms)
    )
    if not done.rowcount:
        return None
    return replace(report, wanted=replace(wanted, from_ms=wanted.to_ms, to_ms=end_ms))


def image_of(report: SavedReport) -> dict[str, Any]:
    """Tell a report by the names of its fields, without what is usual."""
    usual = Filter("", 0, 0)
    fields: dict[str, Any] = {
        name: value
        for name, value in msgspec.to_builtins(report.wanted).items()
        if name not in _OPEN and value and value != getattr(usual, name)
    }
    if report.wanted.corrections is False:
        fields["corrections"] = False
    return {"form": report.form, "every": report.every or "", "filter": fields}


def _report(row: Row[Any]) -> SavedReport:
    fields = msgspec.json.decode(row.body)
    span = {"tenant_id": row.tenant_id, "from_ms": row.from_ms, "to_ms": row.to_ms}
    wanted = msgspec.convert({**fields, **span}, Filter)
    every = Period(row.every) if row.every else None
    return SavedReport(row.name, wanted, row.form, every, row.report_id)
