"""A spreadsheet of usage: written row by row, so that a million of them need little memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import xlsxwriter
from google.protobuf.duration_pb2 import Duration

from callgate.command.words import decimals_of
from callgate.command.words import reason as reason_text
from callgate.v1 import usage_pb2 as pb

# Less the line of names: what a sheet of the format holds.
ROWS_OF_A_SHEET: Final = 1_048_575
_MICROS, _MS = 1_000_000, 1_000
_WIDTH = 18
_UTC = UTC


class Column(NamedTuple):
    """A column of records: its name in lines of JSON, what it is, and what it means."""

    name: str
    kind: str
    meaning: str


COLUMNS: Final = (
    Column("usage_id", "text", "The record; never used again"),
    Column("book_ms", "time", "When it was booked: its day and month, UTC"),
    Column("start_ms", "time", "When the call began, UTC"),
    Column("end_ms", "time", "When the call was last reported on, UTC"),
    Column("account_id", "text", "The account that pays"),
    Column("upn", "text", "Its sign-in name; empty for a bot"),
    Column("display_name", "text", "Its name"),
    Column("user_location", "text", "Where it is at home"),
    Column("call_type", "text", "The call type"),
    Column("call_direction", "text", "inbound or outbound"),
    Column("caller_id", "text", "Who called; hidden digits are asterisks"),
    Column("destination_number", "text", "Who was called; hidden digits are asterisks"),
    Column("destination_dialed", "text", "Where that is"),
    Column("external_country", "text", "The country of the far end"),
    Column("duration_seconds", "number", "How long this purse paid; a correction may be below 0"),
    Column("charge_micros", "money", "What this purse paid, all included"),
    Column("connection_fee_micros", "money", "The connection fee in the charge"),
    Column("currency", "text", "ISO 4217"),
    Column("purse", "text", "free, pool or credits"),
    Column("capability", "text", "The licence that paid"),
    Column("pool_id", "text", "The pool that paid"),
    Column("period", "text", "The month of that pool"),
    Column("correction", "truth", "Whether it corrects an earlier record"),
    Column("gateway_id", "text", "Who carried the call"),
    Column("call_id", "text", "The call's id, as the gateway chose it"),
    Column("opened_id", "text", "The decision that began the call"),
)


class Sums(NamedTuple):
    """A sheet of sums: what they are by."""

    title: str
    by: str
    sums: Sequence[pb.UsageTotal]


class Workbook:
    """A workbook that is being written. Texts are texts: none of them is ever a formula."""

    def __init__(self, path: Path, currency: str) -> None:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(path, options)
        self._head = self._book.add_format({"bold": True, "bottom": 1})
        decimals = decimals_of(currency)
        money = "#,##0" + (f".{'0' * decimals}{'#' * (6 - decimals)}" if decimals else "")
        self._money = self._book.add_format({"num_format": money})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._count = self._book.add_format({"num_format": "#,##0"})

    def close(self) -> None:
        """Write what is left, and the file."""
        self._book.close()

    def records(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write records; those that fit no sheet any more go on in another."""
        heads = [column.name.removesuffix("_ms").removesuffix("_micros") for column in COLUMNS]
        sheet, line, number = self._sheet("usage", heads), 0, 1
        for row in rows:
            if line == ROWS_OF_A_SHEET:
                sheet.autofilter(0, 0, line, len(COLUMNS) - 1)
                number, line = number + 1, 0
                sheet = self._sheet(f"usage {number}", heads)
            line += 1
            self._line(sheet, line, [(column.kind, row[column.name]) for column in COLUMNS])
        sheet.autofilter(0, 0, line, len(COLUMNS) - 1)

    def sums(self, told: Sums, *, chart: str = "") -> None:
        """Write sums, and draw what was charged where a kind of chart is named."""
        heads = (told.by, "records", "calls", "seconds", "charge", "currency")
        sheet = self._sheet(told.title, heads)
        for line, each in enumerate(told.sums, 1):
            cells = (
                ("text", each.keys[0]),
                ("number", each.records),
                ("number", each.calls),
                ("number", each.duration.seconds),
                ("money", each.charge.micros),
                ("text", each.charge.currency_code),
            )
            self._line(sheet, line, cells)
        last = max(1, len(told.sums))
        sheet.autofilter(0, 0, last, len(heads) - 1)
        if chart:
            drawn = self._book.add_chart({"type": chart})
            drawn.add_series(
                {
                    "name": "charge",
                    "categories": [told.title, 1, 0, last, 0],
                    "values": [told.title, 1, 4, last, 4],
                }
            )
            drawn.set_title({"name": told.title})
            sheet.insert_chart("H2", drawn)

    def pools(self, answer: pb.GetPoolsResponse) -> None:
        """Write how full pools are."""
        heads = ("month", "pool", "counter", "size_seconds", "used_seconds", "empty_date", "most")
        sheet = self._sheet("pools", heads)
        for line, pool in enumerate(answer.pools, 1):
            cells = (
                ("text", answer.month),
                ("text", pool.pool_id),
                ("text", pool.counter),
                ("number", pool.size.seconds),
                ("number", pool.used.seconds),
                ("text", pool.empty_date),
                ("text", ", ".join(_used(each.account_id, each.used) for each in pool.users)),
            )
            self._line(sheet, line, cells)
        sheet.autofilter(0, 0, max(1, len(answer.pools)), len(heads) - 1)

    def attempts(self, attempts: Iterable[pb.Attempt]) -> None:
        """Write calls without talk."""
        heads = ("time", "call_id", "accounts", "far_end", "what", "remedy")
        sheet, line = self._sheet("attempts", heads), 0
        for line, attempt in enumerate(attempts, 1):
            said = attempt.decision
            cells = (
                ("time", said.decide_time.ToMilliseconds()),
                ("text", said.call_id),
                ("text", " ".join(said.account_ids) or said.payer),
                ("text", said.far_number or said.dialled_number),
                ("text", reason_text(said.reason) if said.reason else "not answered"),
                ("text", attempt.remedy),
            )
            self._line(sheet, line, cells)
        sheet.autofilter(0, 0, max(1, line), len(heads) - 1)

    def dictionary(self) -> None:
        """Write what the columns of records mean."""
        sheet = self._sheet("dictionary", ("column", "meaning"))
        for line, column in enumerate(COLUMNS, 1):
            name = column.name.removesuffix("_ms").removesuffix("_micros")
            self._line(sheet, line, (("text", name), ("text", column.meaning)))

    def _sheet(self, title: str, heads: Sequence[str]) -> Any:
        sheet = self._book.add_worksheet(title)
        sheet.set_column(0, len(heads) - 1, _WIDTH)
        sheet.freeze_panes(1, 0)
        for at, head in enumerate(heads):
            sheet.write_string(0, at, head, self._head)
        return sheet

    def _line(self, sheet: Any, line: int, cells: Iterable[tuple[str, Any]]) -> None:
        for at, (kind, value) in enumerate(cells):
            match kind:
                case "text":
                    sheet.write_string(line, at, value)
                case "number":
                    sheet.write_number(line, at, value, self._count)
                case "money":
                    sheet.write_number(line, at, value / _MICROS, self._money)
                case "truth":
                    sheet.write_boolean(line, at, value)
                case _:
                    sheet.write_datetime(line, at, _moment(value), self._time)


def _used(account_id: str, used: Duration) -> str:
    return f"{account_id} {used.seconds} s"


def _moment(time_ms: int) -> datetime:
    # Spreadsheets know no time zones.
    return (datetime(1970, 1, 1, tzinfo=_UTC) + timedelta(seconds=time_ms // _MS)).replace(
        tzinfo=None
    )
