"""`callgate reports`: filters of usage with a name, sent by mail and webhook; closed months."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.money import tenant_option
from callgate.command.terminal import echo
from callgate.command.usage import FORMATS, chosen_days, chosen_records, write_records
from callgate.connection import Connection
from callgate.v1 import usage_pb2 as pb

_SCHEDULES = {
    "never": pb.REPORT_SCHEDULE_UNSPECIFIED,
    "daily": pb.REPORT_SCHEDULE_DAILY,
    "weekly": pb.REPORT_SCHEDULE_WEEKLY,
    "monthly": pb.REPORT_SCHEDULE_MONTHLY,
}
_FORMATS = {**FORMATS, "jsonl": pb.USAGE_FORMAT_JSON_LINES}
_CORRECTIONS = {
    "all": pb.CORRECTION_FILTER_UNSPECIFIED,
    "only": pb.CORRECTION_FILTER_ONLY,
    "none": pb.CORRECTION_FILTER_NONE,
}


@click.group(epilog=EPILOG)
def reports() -> None:
    """Save filters of usage, have them sent, and see which months are closed."""


@reports.command(epilog=EPILOG)
@click.argument("name")
@tenant_option
@chosen_records
@click.option(
    "--corrections",
    type=click.Choice(tuple(_CORRECTIONS)),
    default="all",
    show_default=True,
    help="Whether corrections are meant.",
)
@click.option(
    "--every",
    type=click.Choice(tuple(_SCHEDULES)),
    default="never",
    show_default=True,
    help="Send each period once it is over.",
)
@click.option(
    "--columns",
    type=click.Choice(tuple(_FORMATS)),
    default="2025",
    show_default=True,
    help="The columns of the CSV, or lines of JSON.",
)
@json_option
@address_option
def save(*, name: str, tenant: str, as_json: bool, address: str, **given: Any) -> None:
    """Save a report; it goes to the tenant's recipients and webhook.

    \u0008
    callgate reports save italy --tenant contoso --country IT --every monthly
    """
    form, schedule = _FORMATS[given.pop("columns")], _SCHEDULES[given.pop("every")]
    given["corrections"] = _CORRECTIONS[given["corrections"]]
    wanted = pb.UsageFilter(**given)
    report = pb.UsageReport(name=name, filter=wanted, format=form, schedule=schedule)
    question = pb.CreateUsageReportRequest(tenant_id=tenant, report=report)
    with connected(address) as engine:
        answer: pb.CreateUsageReportResponse = engine.ask_usage("CreateUsageReport", question)
    print_answer(answer, as_json, lambda: words.table(list(_rows([answer.report]))))


@reports.command("list", epilog=EPILOG)
@tenant_option
@json_option
@address_option
def list_saved(*, tenant: str, as_json: bool, address: str) -> None:
    """List saved reports.

    \u0008
    callgate reports list --tenant contoso
    """
    with connected(address) as engine:
        answer = _saved(engine, tenant)
    print_answer(answer, as_json, lambda: words.table(list(_rows(answer.reports))))


@reports.command(epilog=EPILOG)
@click.argument("name")
@tenant_option
@address_option
def delete(*, name: str, tenant: str, address: str) -> None:
    """Delete a saved report; what is on its way arrives.

    \u0008
    callgate reports delete italy --tenant contoso
    """
    question = pb.DeleteUsageReportRequest(tenant_id=tenant, name=name)
    with connected(address) as engine:
        engine.ask_usage("DeleteUsageReport", question)
    echo(f"Report {name} of {tenant} is deleted.")


@reports.command(epilog=EPILOG)
@click.argument("name")
@tenant_option
@chosen_days
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to.  [default: the report's name and days]",
)
@address_option
def run(*, name: str, tenant: str, output: Path | None, address: str, **days: str) -> None:
    """Write the file of a saved report now: of a period that is over the same bytes each time.

    \u0008
    callgate reports run italy --tenant contoso --from 2026-11-01 --to 2026-11-30
    """
    with connected(address) as engine:
        found = [each for each in _saved(engine, tenant).reports if each.name == name]
        if not found:
            raise click.UsageError(f"{tenant} has no report {name}: see callgate reports list")
        (report,) = found
        wanted, form = report.filter, report.format
        wanted.start_date, wanted.end_date = days["start_date"], days["end_date"]
        # As the file that a mail brings.
        stem = "-".join(dict.fromkeys((name, *filter(None, days.values()))))
        ending = "jsonl" if form == pb.USAGE_FORMAT_JSON_LINES else "csv"
        path = output or Path(f"{stem}.{ending}")
        question = pb.ExportUsageRequest(tenant_id=tenant, filter=wanted, format=form)
        write_records(engine, question, path)


@reports.command(epilog=EPILOG)
@tenant_option
@json_option
@address_option
def months(*, tenant: str, as_json: bool, address: str) -> None:
    """List the months that are closed, with the checksum of the file of each.

    \u0008
    callgate reports months --tenant contoso
    """
    question = pb.ListClosedMonthsRequest(tenant_id=tenant)
    with connected(address) as engine:
        answer: pb.ListClosedMonthsResponse = engine.ask_usage("ListClosedMonths", question)

    def rows() -> Iterator[tuple[str, ...]]:
        yield ("month", "records", "closed", "SHA-256")
        for each in answer.months:
            yield each.month, f"{each.records:,}", words.clock(each.close_time), each.sha256

    print_answer(answer, as_json, lambda: words.table(list(rows())))


def _saved(engine: Connection, tenant: str) -> pb.ListUsageReportsResponse:
    question = pb.ListUsageReportsRequest(tenant_id=tenant)
    answer: pb.ListUsageReportsResponse = engine.ask_usage("ListUsageReports", question)
    return answer


def _rows(found: Any) -> Iterator[tuple[str, ...]]:
    yield ("report", "sent", "columns", "next period ends", "which records")
    for each in found:
        ends = words.clock(each.period_end_time) if each.HasField("period_end_time") else ""
        chosen = " ".join(str(each.filter).split()) or "all"
        yield (
            each.name,
            _named(_SCHEDULES, each.schedule),
            _named(_FORMATS, each.format),
            ends,
            chosen,
        )


def _named(values: dict[str, Any], value: int) -> str:
    return next(name for name, each in values.items() if each == value)
