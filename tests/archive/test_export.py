"""Usage records as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from archives import Journal, a_change
from server.archive import CallDescription, CallState
from server.archive.book import Book
from server.archive.fold import fold_entry
from server.archive.usage_records import Origin
from server.usage.export import COLUMNS, export_usage

_TABLE = Path(__file__).parents[2] / "data/usage/export_columns.csv"


def a_record(**description: str) -> dict[str, Any]:
    """Let the archive write a record."""
    journal, book = Journal(), Book()
    change = a_change(
        (0, 75, 125_000), state=CallState.SETTLED, description=CallDescription(**description)
    )
    for entry in [*journal.opened(funded=1_000_000), journal.add("settled", change)]:
        fold_entry(book, entry, Origin(17, 1, entry.n))
    return {**book.records[0], "currency": "USD"}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_columns_are_those_of_the_table_in_its_order() -> None:
    lines = [line for line in _TABLE.read_text().splitlines() if not line.startswith("#")]
    table = [row for row in csv.DictReader(lines) if row["index_v2025"]]
    table.sort(key=lambda row: int(row["index_v2025"]))

    assert list(COLUMNS) == [row["name"] for row in table]


def test_a_record_is_one_line_that_ends_with_cr_lf() -> None:
    text = "".join(export_usage([a_record(call_type="user_out")]))

    assert text.count("\r\n") == 2
    (row,) = read(text)
    assert (row["Call Type"], row["Duration Seconds"], row["Currency"]) == ("user_out", "75", "USD")
    assert (row["Start Time"], row["End Time"]) == ("2027-01-15T08:00:03Z", "2027-01-15T08:00:03Z")


def test_money_has_two_decimals_only_in_the_export() -> None:
    record = a_record()

    (row,) = read("".join(export_usage([record])))

    assert record["charge_micros"] == 125_000
    assert (row["Charge"], row["Connection Fee"]) == ("0.13", "0.01")


def test_what_does_not_apply_reads_no_data_but_a_bot_has_no_name() -> None:
    (row,) = read("".join(export_usage([a_record()])))

    assert (row["Conference ID"], row["UPN"]) == ("No data", "")


def test_a_text_with_commas_and_quotes_comes_back_whole() -> None:
    name = 'Adele "Dell" Vance, Sales'

    (row,) = read("".join(export_usage([a_record(display_name=name)])))

    assert row["User Display Name"] == name


@pytest.mark.parametrize(
    ("direction", "masked", "whole"),
    [
        ("outbound", "Destination Number", "Caller ID"),
        ("inbound", "Caller ID", "Destination Number"),
    ],
)
def test_the_end_of_the_external_number_is_hidden(direction: str, masked: str, whole: str) -> None:
    number = "+390612345678"
    record = a_record(caller_id=number, destination_number=number, call_direction=direction)

    (row,) = read("".join(export_usage([record], hidden_digits=3)))

    assert (row[masked], row[whole]) == ("+390612345***", number)


def test_an_export_without_records_is_its_line_of_names() -> None:
    assert "".join(export_usage([])) == ",".join(COLUMNS) + "\r\n"
