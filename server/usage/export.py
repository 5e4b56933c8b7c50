"""Usage records as the world reads them: CSV with the columns of 2025, of 2021 or all; JSON lines.

Money of the documented columns has the decimals of its currency; our own columns say micros.
`data/usage/export_columns.csv` names the documented columns, `number_obfuscation.csv` the digits of
far ends that are hidden.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from policy.money import decimals_of
from server.facts.files.cells import write_cell

NO_DATA: Final = "No data"
_MICROS = Decimal(1_000_000)
_MS_PER_SECOND = 1_000

Row = Mapping[str, Any]

# How many trailing digits of far ends are hidden, by the country of the organisation.
HIDDEN_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("BE", "DE", "DK", "ES", "FI", "IT", "NL", "NO", "SE"), 3),
    **dict.fromkeys(("CH", "FR"), 4),
}


def write_csv(
    records: Iterable[Row], columns: Mapping[str, Callable[[Row], str]], *, header: bool = True
) -> Iterator[str]:
    """Write the line of names, then one line a record; each ends with CR LF (RFC 4180).

    What does not apply to a call reads "No data". A text that a spreadsheet would compute is marked
    as one. Money is rounded half away from zero, line by line.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    if header:
        writer.writerow(columns)
    for record in records:
        yield _taken(buffer)
        writer.writerow([write_cell(write(record)) for write in columns.values()])
    yield _taken(buffer)


def write_json_lines(records: Iterable[Row]) -> Iterator[str]:
    """Write an object a line, with our own names, each ending with LF."""
    for record in records:
        yield msgspec.json.encode(record).decode() + "\n"


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def masked(record: Row, hidden_digits: int) -> Row:
    """Hide the last digits of the far end."""
    if not hidden_digits:
        return record
    name = "caller_id" if record["call_direction"] == "inbound" else "destination_number"
    number: str = record[name]
    kept = max(0, len(number) - hidden_digits)
    return {**record, name: number[:kept] + "*" * (len(number) - kept)}


def _text(name: str) -> Callable[[Row], str]:
    return lambda record: str(record[name]) or NO_DATA


def _id(name: str) -> Callable[[Row], str]:
    return lambda record: str(record[name])


def _time(name: str) -> Callable[[Row], str]:
    def write(record: Row) -> str:
        time = datetime.fromtimestamp(record[name] // _MS_PER_SECOND, UTC)
        return time.isoformat().replace("+00:00", "Z")

    return write


def _money(name: str) -> Callable[[Row], str]:
    def write(record: Row) -> str:
        unit = Decimal(1).scaleb(-decimals_of(record["currency"]))
        return str((Decimal(record[name]) / _MICROS).quantize(unit, ROUND_HALF_UP))

    return write


# Each column of 2025 and how it is written, in the table's order.
COLUMNS_2025: Final[Mapping[str, Callable[[Row], str]]] = {
    "UsageId": _id("usage_id"),
    "Call ID": _id("call_id"),
    "Conference ID": _text("conference_id"),
    "User Location": _text("user_location"),
    # Empty for bots, as in the table.
    "AAD ObjectId": _id("object_id"),
    "UPN": _id("upn"),
    "User Display Name": _text("display_name"),
    "Caller ID": _text("caller_id"),
    "Call Type": _text("call_type"),
    "Call Direction": _text("call_direction"),
    "Number Type": _text("number_type"),
    "Domestic/International": _text("domestic"),
    "Destination Dialed": _text("destination_dialed"),
    "Destination Number": _text("destination_number"),
    "External Country": _text("external_country"),
    "Start Time": _time("start_ms"),
    "End Time": _time("end_ms"),
    "Duration Seconds": _id("duration_seconds"),
    "Connection Fee": _money("connection_fee_micros"),
    "Charge": _money("charge_micros"),
    "Currency": _id("currency"),
    "Capability": _text("capability"),
    "Operator": _text("operator"),
    "Source of Call Duration": _text("duration_source"),
    "Administrative Units": _text("administrative_units"),
}

_NEW_IN_2025 = frozenset(
    (
        *("Call Direction", "External Country", "Operator"),
        *("Source of Call Duration", "Administrative Units"),
    )
)
COLUMNS_2021: Final = {
    name: write for name, write in COLUMNS_2025.items() if name not in _NEW_IN_2025
}

# Columns of the archive that no documented one tells as exactly.
_OWN = (
    *("opened_id", "gateway_id", "account_id", "purse", "pool_id", "period"),
    *("charge_micros", "connection_fee_micros"),
)
ALL_COLUMNS: Final = {
    **COLUMNS_2025,
    **{name: _id(name) for name in _OWN},
    "correction": lambda record: "yes" if record["correction"] else "no",
    "book_time": _time("book_ms"),
}
