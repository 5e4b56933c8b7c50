"""`callgate route`: where a service number leads, and whether a call is accepted there now."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from callgate.command import words
from callgate.command.answer import decision_text
from callgate.command.engine import (
    EPILOG,
    REFUSED,
    NotAccepted,
    address_option,
    connected,
    print_answer,
)
from callgate.command.terminal import echo, harmless, read_cell, write_cell
from callgate.connection import Connection
from callgate.errors import Mistake
from callgate.v1.authorization_pb2 import (
    AuthorizeCallRequest,
    AuthorizeCallResponse,
    Reason,
    ServiceNumberCall,
)

# Numbers of one table, and how many of them are asked about at once.
MOST_ROWS = 1_000_000
_AT_ONCE = 16
_COLUMNS = ("number", "from")
# Without a tenant in the question, the number has to lead to one.
_NOBODYS = "TENANT_FORBIDDEN"
_NOBODYS_TEXT = "no tenant that you may ask about has this service number"
_SERVICES = {"conf_in": "a conferencing bridge", "ucap_in": "an attendant or a queue"}


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the answer to a table. `accepted` is "yes", "no", or "error"."""

    number: str
    calling: str
    accepted: str
    tenant: str = ""
    call_type: str = ""
    seconds: str = ""
    pays: str = ""
    per_minute: str = ""
    currency: str = ""
    reason: str = ""
    help: str = ""
    remedy: str = ""


@click.command(epilog=EPILOG)
@click.argument("number", required=False, default="")
@click.option("--from", "calling", metavar="N", default="", help="Where the call comes from.")
@click.option("--seconds", metavar="S", type=int, help="How long it should last.")
@click.option(
    "--table",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check each row of a CSV file with the columns number and, if wanted, from.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --table, a line a row.")
@address_option
@click.pass_context
def route(context: click.Context, /, *, number: str, table: Path | None, **given: Any) -> None:
    """Tell where a service number leads, and whether a call to it would be accepted now.

    Nothing is reserved and nothing is charged.

    \u0008
    callgate route +18005550100 --from +14255550123
    callgate route --table numbers.csv --from +14255550123 > checked.csv
    """
    if bool(number) == (table is not None):
        raise click.UsageError("Give one number, or a --table of them.")
    wanted = _Wanted(**given)
    refused = _route_one(number, wanted) if table is None else _route_table(table, wanted)
    context.exit(REFUSED if refused else 0)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What goes for every number."""

    calling: str
    seconds: int | None
    as_json: bool
    address: str

    def question(self, number: str, calling: str) -> AuthorizeCallRequest:
        question = AuthorizeCallRequest(
            called_number=number,
            calling_number=calling or self.calling,
            service_number_call=ServiceNumberCall(),
            dry_run=True,
            explain=True,
        )
        if self.seconds is not None:
            question.requested_duration.seconds = self.seconds
        return question


def _route_one(number: str, wanted: _Wanted) -> bool:
    question = wanted.question(number, "")
    with connected(wanted.address, question) as engine:
        try:
            answer = engine.authorize_call(question)
        except Mistake as mistake:
            if mistake.reason != _NOBODYS:
                raise
            echo(f"{number} leads nowhere: {_NOBODYS_TEXT}.")
            return True
    print_answer(
        answer,
        wanted.as_json,
        lambda: f"{_leads(question, answer)}\n{decision_text(question, answer)}",
    )
    return answer.HasField("refusal")


def _leads(question: AuthorizeCallRequest, answer: AuthorizeCallResponse) -> str:
    service = _SERVICES.get(answer.call_type, "a service")
    return f"{question.called_number} leads to {service} of {answer.payer.tenant_id}."


def _route_table(path: Path, wanted: _Wanted) -> bool:
    """Check every row, in the order of the file; say whether one was not accepted."""
    rows = _read(path)
    refused = False
    write = _json_lines() if wanted.as_json else _csv_lines()
    with connected(wanted.address) as engine, ThreadPoolExecutor(_AT_ONCE) as pool:
        routes = pool.map(lambda row: _check(engine, wanted.question(*row)), rows)
        for found in _with_progress(routes, len(rows)):
            write(found)
            refused |= found.accepted != "yes"
    return refused


def _check(engine: Connection, question: AuthorizeCallRequest) -> Route:
    number, calling = question.called_number, question.calling_number
    try:
        answer = engine.authorize_call(question)
    except Mistake as mistake:
        nobodys = mistake.reason == _NOBODYS
        told = _NOBODYS_TEXT if nobodys else str(mistake)
        return Route(
            number, calling, "no" if nobodys else "error", reason=mistake.reason, help=told
        )
    leads = {"tenant": answer.payer.tenant_id, "call_type": answer.call_type}
    if answer.HasField("refusal"):
        refusal = answer.refusal
        told = Reason.Name(refusal.reason).removeprefix("REASON_")
        more = {"reason": told, "help": refusal.help_text, "remedy": refusal.remedy}
        return Route(number, calling, "no", **leads, **more)
    grant = answer.grant
    amount, _, currency = words.money(grant.price.per_minute).partition(" ")
    price = {"per_minute": amount, "currency": currency} if grant.HasField("price") else {}
    seconds, pays = str(grant.granted_duration.seconds), words.purse(grant.purse)
    return Route(number, calling, "yes", seconds=seconds, pays=pays, **leads, **price)


def _read(path: Path) -> Sequence[tuple[str, str]]:
    """Read a table. Raises `NotAccepted` with the line that cannot be used."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if "number" not in names or not set(names) <= set(_COLUMNS):
            separator = next((s for s in (";", "\t", "|") if len(names) == 1 and s in names[0]), "")
            if separator:
                raise NotAccepted(
                    f"{path}:1: the columns are separated by {separator!r}; separate them by commas"
                )
            raise NotAccepted(
                f"{path}:1: the columns are {', '.join(names) or 'none'}; they have to be number"
                " or number,from"
            )
        reader.fieldnames = names
        rows = [_row(path, reader.line_num, row) for row in reader]
    if len(rows) > MOST_ROWS:
        raise NotAccepted(f"{path} has {len(rows)} rows; at most {MOST_ROWS} are taken at a time")
    return rows


def _row(path: Path, line: int, row: dict[str, str | None]) -> tuple[str, str]:
    number = read_cell((row["number"] or "").strip())
    if not number:
        raise NotAccepted(f"{path}:{line}: number: is empty; give a number such as +18005550100")
    if None in row:
        raise NotAccepted(f"{path}:{line}: has more cells than the first line has columns")
    return number, read_cell((row.get("from") or "").strip())


def _with_progress(routes: Iterable[Route], count: int) -> Iterator[Route]:
    """Go through the routes, with a bar where somebody looks on."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(
        routes, length=count, label="Numbers", file=sys.stderr, hidden=hidden
    ) as bar:
        yield from bar


def _csv_lines() -> Callable[[Route], None]:
    writer = csv.DictWriter(sys.stdout, list(Route.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    return lambda found: writer.writerow(
        {name: harmless(write_cell(text)) for name, text in asdict(found).items()}
    )


def _json_lines() -> Callable[[Route], None]:
    return lambda found: echo(json.dumps({k: v for k, v in asdict(found).items() if v}))
