"""`callgate cdr`: calls that are told of only afterwards, by records in a file."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
from google.protobuf.duration_pb2 import Duration

from callgate.command import words
from callgate.command.call_records import CallRecord, LineRefused, RecordFile, read_mapping
from callgate.command.engine import EPILOG, REFUSED, NotAccepted, address_option, connected, told
from callgate.command.terminal import echo, harmless, write_cell
from callgate.connection import Connection
from callgate.errors import Mistake, NoAnswer
from callgate.v1.authorization_pb2 import (
    AuthorizeCallRequest,
    Reason,
    Refusal,
    RunningCall,
    SettleCallRequest,
    SettleCallResponse,
)
from callgate.v1.money_pb2 import Money

# Calls are known by their ids for 30 days unless `call_id_days` says otherwise.
DEFAULT_OLDEST_DAYS = 28
SHOWN_LINES = 50
# No gateway has asked as often about a call, so that what is told here is its last word.
_ANNOUNCED_SEQUENCE, _SETTLED_SEQUENCE = 2_000_000_000, 2_000_000_001
_AT_ONCE, _PIECE = 16, 512
_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_UNKNOWN, _ENDED = "CALL_UNKNOWN", "CALL_ENDED"
_REJECTED = ("line", "why")
_SHOWN = ("line", "call_id", "outcome", "paid_or_why")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a line: it was settled (now or before), or would be."""

    record: CallRecord
    how: str
    paid: Sequence[tuple[str, Money]] = ()
    more: str = ""


Outcome = Done | LineRefused


@click.group()
def cdr() -> None:
    """Settle calls from call records, where records are all one gets."""


@cdr.command("import", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--map",
    "mapping",
    metavar="TOML",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which column says what.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be charged; charge nothing.")
@click.option(
    "--rejects",
    metavar="CSV",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where lines go that are not settled.  [default: FILE.rejects.csv]",
)
@click.option(
    "--oldest-days",
    metavar="N",
    type=click.IntRange(1, 3_650),
    default=DEFAULT_OLDEST_DAYS,
    show_default=True,
    help="Refuse calls that began longer ago; less than the engine's call_id_days.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each record.")
@address_option
@click.pass_context
def import_records(
    context: click.Context, /, *, file: Path, mapping: Path, rejects: Path | None, **given: Any
) -> None:
    """Settle the calls of a CSV file, each once however often the file is given.

    A line that is wrong or refused goes into a file of its own with the reason; the others are
    settled. After an interrupt, or when the engine was away, give the same file again.

    \u0008
    callgate cdr import november.csv --map carrier.toml --dry-run
    callgate cdr import november.csv --map carrier.toml
    """
    oldest = timedelta(days=given["oldest_days"])
    records = RecordFile(file, read_mapping(mapping), datetime.now(UTC), oldest)
    # Looked at as a whole first: a column that is missing, or a wrong encoding, charges nothing.
    count = sum(1 for _ in records.records())
    records = RecordFile(file, records.mapping, records.now, oldest)
    into = rejects or file.with_name(f"{file.name}.rejects.csv")
    if into.resolve() in {file.resolve(), mapping.resolve()}:
        raise click.UsageError(f"--rejects {into}: is a file that is read; give another one")
    with connected(given["address"]) as engine:
        engine.check_health()  # Nobody waits for an engine that is not there.
        do = _Would(engine).pay if given["dry_run"] else _Settling(engine).settle
        tally = _Tally(given["dry_run"], given["as_json"])
        with ExitStack() as stack:
            refuse = _rejecting(into, records, stack)
            try:
                for outcome in _each(do, records.records(), count):
                    tally.take(outcome)
                    if isinstance(outcome, LineRefused):
                        refuse(outcome)
            finally:
                tally.tell(count, into)
    context.exit(REFUSED if tally.refused else 0)


def _each(
    do: Callable[[CallRecord], Outcome], lines: Iterator[CallRecord | LineRefused], count: int
) -> Iterator[Outcome]:
    """Do it for each line, several at once, and give what became of it in the file's order."""

    def one(line: CallRecord | LineRefused) -> Outcome:
        return do(line) if isinstance(line, CallRecord) else line

    bar = click.progressbar(
        length=count, label="Records", file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool, bar:
        while piece := list(islice(lines, _PIECE)):
            for outcome in pool.map(one, piece):
                yield outcome
                bar.update(1)


@dataclass(slots=True)
class _Settling:
    """Settles calls: those that were granted, and those that nobody asked about."""

    engine: Connection

    def settle(self, record: CallRecord) -> Outcome:
        """Settle one; what cannot be is told with its reason. Raises `NoAnswer`."""
        try:
            return self._settle(record)
        except Mistake as mistake:
            if mistake.reason == _ENDED:
                return Done(record, "settled before")
            return LineRefused(record.line, told(mistake), record.cells)

    def _settle(self, record: CallRecord) -> Outcome:
        try:
            return self._end(record)
        except Mistake as mistake:
            if mistake.reason != _UNKNOWN:
                raise
        if not record.used_seconds:
            return Done(record, "not answered")
        question = AuthorizeCallRequest(sequence=_ANNOUNCED_SEQUENCE)
        question.MergeFrom(record.question)
        question.running_call.CopyFrom(
            RunningCall(used_duration=Duration(seconds=record.used_seconds))
        )
        answer = _insisting(lambda: self.engine.authorize_call(question))
        if answer.grant.emergency:
            return Done(record, "an emergency, free")
        if answer.HasField("refusal"):
            return _refused(record, answer.refusal)
        return self._end(record)

    def _end(self, record: CallRecord) -> Outcome:
        question = SettleCallRequest(
            tenant_id=record.question.tenant_id,
            gateway_id=record.question.gateway_id,
            call_id=record.question.call_id,
            sequence=_SETTLED_SEQUENCE,
            used_duration=Duration(seconds=record.used_seconds),
        )
        return _done(record, _insisting(lambda: self.engine.settle_call(question)))


def _done(record: CallRecord, settled: SettleCallResponse) -> Done:
    paid = [(words.purse(each.purse), each.debited) for each in settled.usages]
    if settled.uncollected.micros:
        more = f"{words.money(settled.uncollected)} uncollected"
        return Done(record, "settled, a part uncollected", paid, more)
    if settled.implausible_duration.seconds:
        more = f"{words.minutes(settled.implausible_duration)} held apart"
        return Done(record, "settled, a part held apart as implausible", paid, more)
    return Done(record, "settled", paid)


def _refused(record: CallRecord, refusal: Refusal) -> LineRefused:
    name = Reason.Name(refusal.reason).removeprefix("REASON_")
    return LineRefused(record.line, f"{name}: {refusal.help_text}", record.cells)


@dataclass(slots=True)
class _Would:
    """Tells what calls would cost, and changes nothing."""

    engine: Connection

    def pay(self, record: CallRecord) -> Outcome:
        """Tell it of one. Raises `NoAnswer`."""
        question = AuthorizeCallRequest(dry_run=True)
        question.MergeFrom(record.question)
        if not record.used_seconds:
            return Done(record, "not answered")
        question.requested_duration.seconds = record.used_seconds
        try:
            answer = _insisting(lambda: self.engine.authorize_call(question))
        except Mistake as mistake:
            return LineRefused(record.line, told(mistake), record.cells)
        if answer.HasField("refusal"):
            return _refused(record, answer.refusal)
        paid = [(words.purse(each.purse), each.held) for each in answer.grant.segments]
        reached = answer.grant.granted_duration
        if not answer.grant.emergency and reached.seconds < record.used_seconds:
            more = f"so for its first {words.minutes(reached)}"
            return Done(record, "would be settled, the rest asked anew", paid, more)
        return Done(record, "would be settled", paid)


def _insisting(ask: Callable[[], _Answer]) -> _Answer:
    """Ask again for a while where no answer comes: the same question is charged once."""
    for wait_seconds in _WAITS_SECONDS:
        try:
            return ask()
        except NoAnswer:
            time.sleep(wait_seconds)
    return ask()


@dataclass(slots=True)
class _Tally:
    """Prints what becomes of the lines, and counts."""

    dry_run: bool
    as_json: bool
    refused: int = 0
    done: Counter[str] = field(default_factory=Counter)
    paid: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rows: list[Sequence[str]] = field(default_factory=list)

    def take(self, outcome: Outcome) -> None:
        """Count one line."""
        if isinstance(outcome, LineRefused):
            self.refused += 1
            self._show((str(outcome.line), "", "refused", outcome.why))
            return
        self.done[outcome.how] += 1
        for purse, amount in outcome.paid:
            self.paid[purse, amount.currency_code] += amount.micros
        paid = " and ".join(
            f"{words.money(amount)} by {purse}" if amount.micros else purse
            for purse, amount in outcome.paid
        )
        told_more = ", ".join(part for part in (paid, outcome.more) if part)
        record = outcome.record
        self._show((str(record.line), record.question.call_id, outcome.how, told_more))

    def _show(self, row: tuple[str, str, str, str]) -> None:
        if self.as_json:
            echo(json.dumps(dict(zip(_SHOWN, row, strict=True))))
        elif self.dry_run and len(self._rows) < SHOWN_LINES:
            self._rows.append(row)

    def tell(self, count: int, rejects: Path) -> None:
        """Tell the sums."""
        if self._rows:
            echo(words.table([_SHOWN, *self._rows]))
        lines = [f"{count:,} records"]
        lines += [f"{number:>9,} {how}" for how, number in self.done.most_common()]
        if self.refused:
            lines.append(f"{self.refused:>9,} refused: {rejects}")
        if left := count - self.done.total() - self.refused:
            lines.append(f"{left:>9,} not reached: give the same file again")
        lines += [
            f"{words.money(Money(currency_code=currency, micros=micros))} by {purse}"
            for (purse, currency), micros in sorted(self.paid.items())
            if micros
        ]
        echo("\n".join(lines), err=self.as_json)


def _rejecting(path: Path, records: RecordFile, stack: ExitStack) -> Callable[[LineRefused], None]:
    """Write refused lines as the file itself is written, with line and reason behind.

    Once they are mended the same mapping reads them. Without any there is no file.
    """
    path.unlink(missing_ok=True)
    writers: list[csv.DictWriter[str]] = []

    def refuse(refused: LineRefused) -> None:
        if not writers:
            try:
                opened = path.open(
                    "w", encoding=records.mapping.encoding, errors="backslashreplace", newline=""
                )
            except OSError as wrong:
                raise NotAccepted(f"{path}: {wrong.strerror}; give another --rejects") from wrong
            columns = [*(name for name in records.header if name not in _REJECTED), *_REJECTED]
            file, delimiter = stack.enter_context(opened), records.mapping.delimiter
            writers.append(csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n"))
            writers[0].writeheader()
        row = {**refused.cells, "line": str(refused.line), "why": refused.why}
        writers[0].writerow({name: harmless(write_cell(text)) for name, text in row.items()})

    return refuse
