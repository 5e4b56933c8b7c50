"""`callgate usage`, `attempts` and `pools`: what was called, who paid, what is left."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from callgate.command import words
from callgate.command.charts import bar
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.money import tenant_option
from callgate.command.terminal import echo, style
from callgate.connection import Connection
from callgate.v1 import usage_pb2 as pb

_PAGE_SIZE = 1_000
# More of them are read by nobody in a spreadsheet.
_MOST_ATTEMPTS = 10_000
_GROUPS = [
    name.removeprefix("USAGE_GROUP_").lower().replace("_", "-") for name in pb.UsageGroup.keys()[1:]
]
FORMATS = {
    "2025": pb.USAGE_FORMAT_UNSPECIFIED,
    "2021": pb.USAGE_FORMAT_CSV_2021,
    "all": pb.USAGE_FORMAT_CSV_ALL,
}
_ENDINGS = (".csv", ".jsonl", ".xlsx")
_SHEETS = (
    ("by user", pb.USAGE_GROUP_USER, ""),
    ("by country", pb.USAGE_GROUP_COUNTRY, "bar"),
    ("by purse", pb.USAGE_GROUP_PURSE, ""),
    ("by day", pb.USAGE_GROUP_DAY, "column"),
)

Command = Callable[..., Any]


def chosen_days(command: Command) -> Command:
    """Add the options of days."""
    start = click.option("--from", "start_date", metavar="DAY", default="", help="As 2026-11-01.")
    text = "Up to this day, that one included."
    end = click.option("--to", "end_date", metavar="DAY", default="", help=text)
    return start(end(command))


def chosen_records(command: Command) -> Command:
    """Add the options of which records."""
    options = (
        click.option(
            "--user", "account_ids", metavar="U", multiple=True, help="Who pays; repeatable."
        ),
        click.option("--country", "countries", metavar="CC", multiple=True, help="Of the far end."),
        click.option(
            "--call-type", "call_types", metavar="TYPE", multiple=True, help="As user_out."
        ),
        click.option("--gateway", "gateway_ids", metavar="ID", multiple=True, help="Who carried."),
        click.option(
            "--prefix", "number_prefix", metavar="N", default="", help="The far end begins so."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=EPILOG)
@tenant_option
@chosen_days
@click.option(
    "--by",
    "groups",
    metavar="GROUP",
    multiple=True,
    type=click.Choice(_GROUPS),
    help=f"Add up by this; twice at the most: {', '.join(_GROUPS)}.  [default: user]",
)
@chosen_records
@click.option("--call-id", metavar="ID", default="", help="The SIP Call-ID.")
@click.option("--chart", is_flag=True, help="Draw what was charged as bars.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the records to FILE.csv, FILE.jsonl or FILE.xlsx.",
)
@click.option(
    "--columns",
    type=click.Choice(tuple(FORMATS)),
    default="2025",
    show_default=True,
    help="Which columns a CSV has.",
)
@json_option
@address_option
def usage(
    *,
    tenant: str,
    output: Path | None,
    as_json: bool,
    address: str,
    **given: Any,
) -> None:
    """Add up what was called and charged, or write it to a file.

    \u0008
    callgate usage --tenant contoso --from 2026-11-01 --by country --chart
    callgate usage --tenant contoso --by user --by month
    callgate usage --tenant contoso --from 2026-11-01 --output november.xlsx
    """
    groups, columns, chart = (given.pop(name) for name in ("groups", "columns", "chart"))
    wanted = pb.UsageFilter(**given)
    if output is not None:
        if output.suffix not in _ENDINGS:
            raise click.UsageError(f"--output {output}: give one of {', '.join(_ENDINGS)}")
        with connected(address) as engine:
            _write(engine, tenant, wanted, output=output, columns=columns)
        return
    question = pb.SummarizeUsageRequest(tenant_id=tenant, filter=wanted)
    question.group_by.extend(map(_group, groups or ("user",)))
    with connected(address) as engine:
        answer: pb.SummarizeUsageResponse = engine.ask_usage("SummarizeUsage", question)
    print_answer(answer, as_json, lambda: "\n".join(_sums(question, answer, chart=chart)))


@click.command(epilog=EPILOG)
@tenant_option
@chosen_days
@click.option("--user", "account_id", metavar="U", default="", help="Who called or would pay.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="How many."
)
@json_option
@address_option
def attempts(*, tenant: str, limit: int, as_json: bool, address: str, **given: str) -> None:
    """List calls that were refused, with what would help, and those that nobody answered.

    \u0008
    callgate attempts --tenant contoso --user adele --from 2026-11-01
    """
    with connected(address) as engine:
        found = pb.ListAttemptsResponse(
            attempts=itertools.islice(_attempts(engine, tenant, **given), limit)
        )
    print_answer(found, as_json, lambda: words.table(list(_attempt_rows(found))))


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--month", metavar="MONTH", default="", help="As 2026-11.  [default: this one]")
@click.option("--chart", is_flag=True, help="Draw each day's use as bars.")
@json_option
@address_option
def pools(*, tenant: str, month: str, chart: bool, as_json: bool, address: str) -> None:
    """Tell how full the pools of minutes are, who used most, and when they end.

    \u0008
    callgate pools --tenant contoso --chart
    """
    question = pb.GetPoolsRequest(tenant_id=tenant, month=month)
    with connected(address) as engine:
        answer: pb.GetPoolsResponse = engine.ask_usage("GetPools", question)
    print_answer(answer, as_json, lambda: "\n".join(_pools(answer, chart=chart)))


def _group(name: str) -> pb.UsageGroup.ValueType:
    return pb.UsageGroup.Value(f"USAGE_GROUP_{name.upper().replace('-', '_')}")


def _sums(
    question: pb.SummarizeUsageRequest, answer: pb.SummarizeUsageResponse, *, chart: bool
) -> Iterator[str]:
    heads = [
        pb.UsageGroup.Name(group).removeprefix("USAGE_GROUP_").lower().replace("_", " ")
        for group in question.group_by
    ]
    most = max((each.charge.micros for each in answer.sums), default=0)
    rows = [(*heads, "calls", "talked", "charged", "")]
    for each in answer.sums:
        drawn = bar(each.charge.micros, most) if chart else ""
        rows.append((*(key or "-" for key in each.keys), *_figures(each), drawn))
    blank = [""] * (len(heads) - 1)
    rows += [("total", *blank, *_figures(total), "") for total in answer.totals]
    yield words.table(rows)
    yield ""
    yield _complete(answer)


def _figures(total: pb.UsageTotal) -> tuple[str, str, str]:
    return f"{total.calls:,}", words.minutes(total.duration), words.money(total.charge)


def _complete(answer: pb.SummarizeUsageResponse | pb.GetPoolsResponse) -> str:
    if not answer.HasField("complete_time"):
        return "How complete this is is not known."
    return f"Complete until {words.clock(answer.complete_time)}."


def _pools(answer: pb.GetPoolsResponse, *, chart: bool) -> Iterator[str]:
    yield style(f"Pools of {answer.month}", bold=True)
    rows = [("pool", "counter", "used", "of", "", "ends", "most by")]
    for pool in answer.pools:
        size = max(1, pool.size.seconds)
        rows.append(
            (
                pool.pool_id,
                pool.counter,
                words.minutes(pool.used),
                words.minutes(pool.size),
                f"{pool.used.seconds * 100 // size} %" if pool.size.seconds else "",
                pool.empty_date,
                " ".join(each.account_id for each in pool.users[:3]),
            )
        )
    yield words.table(rows)
    for pool in answer.pools if chart else ():
        most = max((each.seconds for each in pool.daily_used), default=0)
        if most:
            yield ""
            yield style(pool.pool_id, bold=True)
            for day, used in enumerate(pool.daily_used, 1):
                yield f"  {day:>2}  {words.minutes(used):>16}  {bar(used.seconds, most)}".rstrip()
    yield ""
    yield _complete(answer)


def _attempts(engine: Connection, tenant: str, **given: str) -> Iterator[pb.Attempt]:
    question = pb.ListAttemptsRequest(tenant_id=tenant, page_size=_PAGE_SIZE, **given)
    while True:
        page: pb.ListAttemptsResponse = engine.ask_usage("ListAttempts", question)
        yield from page.attempts
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _attempt_rows(found: pb.ListAttemptsResponse) -> Iterator[tuple[str, ...]]:
    yield ("time", "what", "account", "number", "call", "what would help")
    for each in found.attempts:
        said = each.decision
        yield (
            words.clock(said.decide_time),
            words.reason(said.reason) if said.reason else "not answered",
            " ".join(said.account_ids) or said.payer,
            said.far_number or said.dialled_number,
            said.call_id,
            each.remedy,
        )


# --- Files ------------------------------------------------------------------------------------


def _write(
    engine: Connection, tenant: str, wanted: pb.UsageFilter, *, output: Path, columns: str
) -> None:
    if output.suffix == ".xlsx":
        _write_beside(output, lambda path: _write_workbook(engine, tenant, wanted, path=path))
        return
    form = pb.USAGE_FORMAT_JSON_LINES if output.suffix == ".jsonl" else FORMATS[columns]
    question = pb.ExportUsageRequest(tenant_id=tenant, filter=wanted, format=form)
    write_records(engine, question, output)


def write_records(engine: Connection, question: pb.ExportUsageRequest, output: Path) -> None:
    """Write the file of an export, with a progress bar."""

    def write(path: Path) -> int:
        count = 0
        with path.open("wb") as file:
            for chunk in _chunks(engine, question):
                file.write(chunk.data)
                count = chunk.records
        return count

    _write_beside(output, write)


def _write_beside(output: Path, write: Callable[[Path], int]) -> None:
    """Write a file beside its place first: what is there is whole."""
    part = output.with_name(f"{output.name}.part")
    try:
        count = write(part)
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    echo(f"{output}: {count:,} records", err=True)


def _chunks(
    engine: Connection, question: pb.ExportUsageRequest
) -> Iterator[pb.ExportUsageResponse]:
    """Read a file, and show how far it is."""
    chunks = engine.export_usage(question)
    first = next(chunks, None)
    if first is None:
        return
    with click.progressbar(length=first.total_records, label="Records", file=sys.stderr) as shown:
        done = 0
        for chunk in itertools.chain((first,), chunks):
            yield chunk
            shown.update(chunk.records - done)
            done = chunk.records


def _write_workbook(engine: Connection, tenant: str, wanted: pb.UsageFilter, *, path: Path) -> int:
    # It takes a moment to load, which other commands do without.
    from callgate.command.workbook import Sums, Workbook

    def ask(group: pb.UsageGroup.ValueType) -> pb.SummarizeUsageResponse:
        question = pb.SummarizeUsageRequest(tenant_id=tenant, filter=wanted, group_by=[group])
        answer: pb.SummarizeUsageResponse = engine.ask_usage("SummarizeUsage", question)
        return answer

    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        form = pb.USAGE_FORMAT_JSON_LINES
        question = pb.ExportUsageRequest(tenant_id=tenant, filter=wanted, format=form)
        for chunk in _chunks(engine, question):
            yield from map(json.loads, chunk.data.splitlines())
            count = chunk.records

    sums = [(title, chart, ask(group)) for title, group, chart in _SHEETS]
    totals = sums[0][2].totals
    book = Workbook(path, totals[0].charge.currency_code if totals else "")
    try:
        book.records(rows())
        for title, chart, answer in sums:
            book.sums(Sums(title, title.removeprefix("by "), answer.sums), chart=chart)
        book.pools(engine.ask_usage("GetPools", pb.GetPoolsRequest(tenant_id=tenant)))
        days = {"start_date": wanted.start_date, "end_date": wanted.end_date}
        book.attempts(itertools.islice(_attempts(engine, tenant, **days), _MOST_ATTEMPTS))
        book.dictionary()
    finally:
        book.close()
    return count
