"""`callgate rates` and `callgate back-test`: what calls cost, and what they would have cost."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.command.charts import Pair, pairs_svg
from callgate.command.engine import (
    EPILOG,
    NotAccepted,
    address_option,
    connected,
    json_option,
    print_answer,
)
from callgate.command.rates_words import (
    changes_text,
    cost_text,
    deck_text,
    look_up_text,
    mistakes_text,
    rates_text,
)
from callgate.command.terminal import echo
from callgate.connection import Connection
from callgate.errors import CallgateError
from callgate.v1 import rates_pb2 as pb

CHUNK_BYTES = 32 * 1024
_PAGE_SIZE = 1_000
_PARTS = 100
PLOTTED = 12
_STAGES = {
    pb.RATE_STAGE_READING: "Reading",
    pb.RATE_STAGE_COMPARING: "Comparing",
    pb.RATE_STAGE_CHECKING: "Checking",
    pb.RATE_STAGE_PLAYING: "Playing",
    pb.RATE_STAGE_TAKING_OVER: "Taking over",
}

Response = TypeVar("Response", pb.ImportRatesResponse, pb.BackTestUsageResponse)

file_argument = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE"
)
since_option = click.option(
    "--from", "since", metavar="DATE", type=click.DateTime(), help="Usage from then on, UTC."
)
until_option = click.option(
    "--to",
    "until",
    metavar="DATE",
    type=click.DateTime(),
    help="Usage before then, UTC.  [default: the last complete month]",
)
plot_option = click.option(
    "--plot",
    metavar="FILE.svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw what it would have cost, by country.",
)


@dataclass(slots=True)
class Told:
    """What an import told."""

    understood: pb.DeckUnderstood = field(default_factory=pb.DeckUnderstood)
    problems: list[pb.DeckProblem] = field(default_factory=list)
    remarks: list[pb.DeckRemark] = field(default_factory=list)
    changes: list[pb.RateChange] = field(default_factory=list)
    summaries: list[pb.RateSummary] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    cost: pb.UsageCost | None = None
    result: pb.ImportRatesResult = field(default_factory=pb.ImportRatesResult)

    def take(self, response: pb.ImportRatesResponse) -> None:
        """Take one message in."""
        told = response.WhichOneof("told")
        if told in {"understood", "cost", "result"}:
            setattr(self, told, getattr(response, told))
        elif told == "table":
            self.tables.setdefault(response.table.currency_code, []).append(response.table.text)
        else:
            self.problems += [response.problem] * response.HasField("problem")
            self.summaries += [response.summary] * response.HasField("summary")
            self.remarks += response.remarks.remarks
            self.changes += response.changes.changes

    def messages(self) -> Iterator[Message]:
        """Yield what is printed as JSON, a line each."""
        yield self.understood
        yield from (*self.remarks, *self.changes, *self.summaries)
        if self.cost is not None:
            yield self.cost
        yield self.result


@click.group(epilog=EPILOG)
def rates() -> None:
    """List rates, look a number up, import a carrier's deck."""


@rates.command("list", epilog=EPILOG)
@click.option("--currency", metavar="CUR", required=True, help="In which currency, as USD.")
@click.option("--prefix", metavar="DIGITS", default="", help="Only prefixes that begin so.")
@click.option("--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True)
@json_option
@address_option
def list_rates(*, currency: str, prefix: str, limit: int, as_json: bool, address: str) -> None:
    """List the rates of a currency, by prefix.

    \u0008
    callgate rates list --currency USD --prefix 44
    """
    answer, left = pb.ListRatesResponse(), limit
    with connected(address) as engine:
        while left > 0:
            page: pb.ListRatesResponse = engine.ask_rates(
                "ListRates",
                pb.ListRatesRequest(
                    currency_code=currency.upper(),
                    prefix=prefix.removeprefix("+"),
                    page_size=min(left, _PAGE_SIZE),
                    page_token=answer.next_page_token,
                ),
            )
            left -= len({each.prefix for each in page.rates})
            answer.rates.extend(page.rates)
            answer.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
    print_answer(answer, as_json, lambda: rates_text(answer))


@rates.command("look-up", epilog=EPILOG)
@click.argument("number", metavar="NUMBER")
@click.option("--currency", metavar="CUR", required=True, help="In which currency, as USD.")
@click.option("--at", metavar="DATE", type=click.DateTime(), help="When, UTC.  [default: now]")
@json_option
@address_option
def look_up(
    *, number: str, currency: str, at: datetime | None, as_json: bool, address: str
) -> None:
    """Tell what a number costs now, and what it will.

    \u0008
    callgate rates look-up +442071234567 --currency USD
    callgate rates look-up +442071234567 --currency USD --at 2027-01-01
    """
    request = pb.LookUpRateRequest(number=number, currency_code=currency.upper(), time=_time(at))
    with connected(address) as engine:
        answer = engine.ask_rates("LookUpRate", request)
    print_answer(answer, as_json, lambda: look_up_text(number, answer))


@rates.command("import", epilog=EPILOG)
@file_argument
@click.option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Which column says what, by its title or place (#3); repeat.  [default: found by titles]",
)
@click.option("--currency", metavar="CUR", default="", help="Of lines that name none.")
@click.option("--increments", metavar="60/60", default="", help="Of lines that name none.")
@click.option("--valid-from", metavar="DATE", default="", help="Of lines that name no date.")
@click.option("--date-order", type=click.Choice(("dmy", "mdy")), help="Of dates as 01/02/2027.")
@click.option("--decimal", type=click.Choice((".", ",")), help="Before decimals.")
@click.option("--sheet", metavar="NAME", default="", help="Of a workbook.  [default: the first]")
@click.option("--keep-others", is_flag=True, help="Rates that the deck does not have stay.")
@click.option("--dry-run", is_flag=True, help="Only look.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-cost", is_flag=True, help="Do not play the last month's usage.")
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the tables there, to be put in place by hand, and put nothing in use.",
)
@plot_option
@since_option
@until_option
@json_option
@address_option
def import_(*, file: Path, address: str, as_json: bool, **given: Any) -> None:
    """Read a carrier's deck, tell what it changes and would have cost; then put it in use.

    CSV of any separator, or a workbook. Fields: prefix, country, country_code, area_codes, name,
    number_class, per_minute, connection_fee, increments, first_increment, next_increment,
    valid_from, valid_until, currency.

    \u0008
    callgate rates import deck.xlsx --dry-run
    callgate rates import deck.csv --map "prefix=Dial Code" --map "per_minute=Rate" --currency EUR
    callgate rates import deck.csv --output tables
    """
    options = _options(file, given)
    output: Path | None = given["output"]
    with connected(address) as engine:
        told = _import(engine, file, options)
        if given["plot"] is not None and told.cost is not None:
            _plot(told.cost, given["plot"])
        if output is not None:
            _write_tables(told, output)
        if output is None and not given["dry_run"]:
            _confirm(told, yes=given["yes"])
            options.expected_version = told.result.catalogue_version
            options.without_cost = True
            told.result = _import(engine, file, options).result
    if as_json:
        for message in told.messages():
            echo(MessageToJson(message, indent=None))
    elif output is not None or given["dry_run"] or given["yes"]:
        echo(_text(told))
    if told.result.applied and not as_json:
        echo(f"In use: catalogue {told.result.new_version}.")


@click.command("back-test", epilog=EPILOG)
@file_argument
@click.option("--tenant", metavar="T", required=True, help="Whose usage; the file is theirs.")
@click.option("--rates-at", metavar="DATE", type=click.DateTime(), help="By the rates of then.")
@plot_option
@since_option
@until_option
@json_option
@address_option
def back_test(*, file: Path, tenant: str, as_json: bool, address: str, **given: Any) -> None:
    """Tell what a tenant's last month would have cost with another file of it.

    \u0008
    callgate export --tenant contoso --format toml > contoso.toml
    callgate back-test contoso.toml --tenant contoso
    """
    options = pb.BackTestUsageOptions(
        tenant_id=tenant,
        file_name=file.name,
        from_time=_time(given["since"]),
        until_time=_time(given["until"]),
        rates_time=_time(given["rates_at"]),
    )
    problems: list[pb.DeckProblem] = []
    cost = pb.UsageCost()
    with connected(address) as engine, _naming(file, problems):
        first = pb.BackTestUsageRequest(options=options)
        chunks = (pb.BackTestUsageRequest(chunk=chunk) for chunk in _chunks(file))
        for response in _with_bar(engine.back_test_usage(itertools.chain([first], chunks))):
            if response.HasField("problem"):
                problems.append(response.problem)
            elif response.HasField("cost"):
                cost = response.cost
    if given["plot"] is not None:
        _plot(cost, given["plot"])
    print_answer(cost, as_json, lambda: cost_text(cost))


def _options(file: Path, given: dict[str, Any]) -> pb.ImportRatesOptions:
    columns = {}
    for one in given["columns"]:
        name, sign, column = one.partition("=")
        if not (name and sign and column):
            raise click.UsageError(f"--map {one}: give FIELD=COLUMN, such as prefix=Code.")
        columns[name] = column
    return pb.ImportRatesOptions(
        file_name=file.name,
        columns=columns,
        currency_code=given["currency"].upper(),
        increments=given["increments"],
        valid_from=given["valid_from"],
        date_order=given["date_order"] or "",
        decimal=given["decimal"] or "",
        sheet=given["sheet"],
        keep_others=given["keep_others"],
        with_tables=given["output"] is not None,
        without_cost=given["no_cost"],
        from_time=_time(given["since"]),
        until_time=_time(given["until"]),
    )


def _import(engine: Connection, file: Path, options: pb.ImportRatesOptions) -> Told:
    """Import, with a bar on a terminal. Raises `NotAccepted` with each mistake of the file."""
    told = Told()
    first = pb.ImportRatesRequest(options=options)
    chunks = (pb.ImportRatesRequest(chunk=chunk) for chunk in _chunks(file))
    with _naming(file, told.problems):
        for response in _with_bar(engine.import_rates(itertools.chain([first], chunks))):
            told.take(response)
    return told


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


def _with_bar(responses: Iterator[Response]) -> Iterator[Response]:
    """Show how far it is, on a terminal, and hand on what is told besides."""
    stages = len(pb.RateStage.values()) - 1
    with click.progressbar(length=stages * _PARTS, file=sys.stderr) as bar:
        for response in responses:
            if not response.HasField("progress"):
                yield response
                continue
            now = response.progress
            done = _PARTS * now.done_count // now.total_count if now.total_count else 0
            bar.label = _STAGES[now.stage]
            bar.update(max(0, (now.stage - 1) * _PARTS + done - bar.pos))
        bar.update(stages * _PARTS - bar.pos)


@contextmanager
def _naming(file: Path, problems: Sequence[pb.DeckProblem]) -> Iterator[None]:
    """Tell each mistake of a file in place of the error it ended with. Raises `NotAccepted`."""
    try:
        yield
    except CallgateError:
        if problems:
            raise NotAccepted(mistakes_text(file.name, problems)) from None
        raise


def _confirm(told: Told, *, yes: bool) -> None:
    if yes:
        return
    echo(_text(told), err=True)
    click.confirm("Put it in use?", abort=True, err=True)


def _text(told: Told) -> str:
    cost = [cost_text(told.cost)] if told.cost is not None else []
    read = deck_text(told.understood, told.remarks)
    return "\n\n".join([read, changes_text(told.changes, told.summaries), *cost])


def _plot(cost: pb.UsageCost, path: Path) -> None:
    rows = [
        Pair(one.country or "-", one.charged.micros, one.would.micros)
        for one in cost.countries[:PLOTTED]
    ]
    currencies = ", ".join(each.charged.currency_code for each in cost.totals) or "nothing used"
    title = f"What {cost.from_time.ToDatetime():%B %Y} would have cost, by country ({currencies})"
    try:
        path.write_text(pairs_svg(title, ("charged", "would have cost"), rows), "utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def _write_tables(told: Told, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for currency, texts in told.tables.items():
        (folder / f"{currency}.csv").write_text("".join(texts), "utf-8")


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    time = Timestamp()
    time.FromDatetime(moment.replace(tzinfo=UTC))
    return time
