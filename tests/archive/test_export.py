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
from server.usage.export import (
    ALL_COLUMNS,
    COLUMNS_2021,
    COLUMNS_2025,
    HIDDEN_DIGITS,
    masked,
    write_csv,
)

_TABLE = Path(__file__).parents[2] / "data/usage/export_columns.csv"


def a_record(**description: str) -> dict[str, Any]:
    """Let the archive write a record."""
    journal, book = Journal(), Book()
    change = a_change(
        (0, 75, 125_000), state=CallState.SETTLED, description=CallDescription(**description)
    )
    for entry in [*journal.opened(funded=1_000_000), journal.add("settled", change)]:
        fold_entry(book, entry, Origin(17, 1, entry.n, entry.time_ms))
    return {**book.records[0], "currency": "USD"}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def table(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("version", "columns"), [("index_v2021", COLUMNS_2021), ("index_v2025", COLUMNS_2025)]
)
def test_the_columns_are_those_of_the_table_in_its_order(
    version: str, columns: dict[str, Any]
) -> None:
    rows = [row for row in table(_TABLE) if row[version]]
    rows.sort(key=lambda row: int(row[version]))

    assert list(columns) == [row["name"] for row in rows]


def test_digits_are_hidden_as_the_table_says() -> None:
    rows = table(_TABLE.with_name("number_obfuscation.csv"))

    assert {row["iso_code"]: int(row["obfuscated_digits"]) for row in rows} == HIDDEN_DIGITS


@pytest.mark.parametrize(("currency", "written"), [("USD", "0.13"), ("JPY", "0"), ("KWD", "0.125")])
def test_money_has_the_decimals_of_its_currency(currency: str, written: str) -> None:
    (row,) = read("".join(write_csv([{**a_record(), "currency": currency}], ALL_COLUMNS)))

    assert (row["Charge"], row["charge_micros"]) == (written, "125000")


def test_a_record_is_one_line_that_ends_with_cr_lf() -> None:
    text = "".join(write_csv([a_record(call_type="user_out")], COLUMNS_2025))

    assert text.count("\r\n") == 2
    (row,) = read(text)
    assert (row["Call Type"], row["Duration Seconds"], row["Currency"]) == ("user_out", "75", "USD")
    assert (row["Start Time"], row["End Time"]) == ("2027-01-15T08:00:03Z", "2027-01-15T08:00:03Z")


def test_money_has_two_decimals_only_in_the_export() -> None:
    record = a_record()

    (row,) = read("".join(write_csv([record], COLUMNS_2025)))

    assert record["charge_micros"] == 125_000
    assert (row["Charge"], row["Connection Fee"]) == ("0.13", "0.01")


def test_what_does_not_apply_reads_no_data_but_a_bot_has_no_name() -> None:
    (row,) = read("".join(write_csv([a_record()], COLUMNS_2025)))

    assert (row["Conference ID"], row["UPN"]) == ("No data", "")


def test_a_text_with_commas_and_quotes_comes_back_whole() -> None:
    name = 'Adele "Dell" Vance, Sales'

    (row,) = read("".join(write_csv([a_record(display_name=name)], COLUMNS_2025)))

    assert row["User Display Name"] == name


@pytest.mark.parametrize(
    ("direction", "hidden", "whole"),
    [
        ("outbound", "Destination Number", "Caller ID"),
        ("inbound", "Caller ID", "Destination Number"),
    ],
)
def test_the_end_of_the_external_number_is_hidden(direction: str, hidden: str, whole: str) -> None:
    number = "+390612345678"
    record = a_record(caller_id=number, destination_number=number, call_direction=direction)

    (row,) = read("".join(write_csv([masked(record, 3)], COLUMNS_2025)))

    assert (row[hidden], row[whole]) == ("+390612345***", number)


def test_an_export_without_records_is_its_line_of_names() -> None:
    assert "".join(write_csv([], COLUMNS_2025)) == ",".join(COLUMNS_2025) + "\r\n"
