"""Usage records as the world reads them: RFC 4180 CSV with the columns of 2025.

Money has two decimals only here. `data/usage/export_columns.csv` names the columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from server.facts.files.cells import write_cell

NO_DATA: Final = "No data"
_MICROS = Decimal(1_000_000)
_CENT = Decimal("0.01")
_MS_PER_SECOND = 1_000

Row = Mapping[str, Any]


def export_usage(records: Iterable[Row], *, hidden_digits: int = 0) -> Iterator[str]:
    """Write the line of names, then one line a record; each ends with CR LF.

    `hidden_digits` trailing digits of the external number become asterisks. What does not apply to
    a call reads "No data". A text that a spreadsheet would compute is marked as one. Money is
    rounded to two decimals, half away from zero, line by line.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for record in records:
        yield _taken(buffer)
        shown = _masked(record, hidden_digits)
        writer.writerow([write_cell(write(shown)) for write in COLUMNS.values()])
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _masked(record: Row, hidden_digits: int) -> Row:
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
        return str((Decimal(record[name]) / _MICROS).quantize(_CENT, ROUND_HALF_UP))

    return write


# Each column of 2025 and how it is written, in the table's order.
COLUMNS: Final[Mapping[str, Callable[[Row], str]]] = {
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
