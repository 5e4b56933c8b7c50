"""A deck's file as rows of text: CSV of any separator and encoding, or a sheet of a workbook."""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from python_calamine import CalamineError, CalamineWorkbook

MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
MAX_COLUMNS: Final = 256
# What is looked at to find out how a file is written.
SAMPLE_LINES: Final = 50
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SEPARATORS = ";\t|,"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A cell that was computed ends in noise; nobody sells by a billionth.
_DECIMALS = 9

Row = tuple[int, list[str]]


class SheetUnreadable(Exception):
    """The file holds no rows that could be read; the text says what to do."""


def read_sheet(content: bytes, sheet: str = "") -> Iterator[Row]:
    """Yield the rows that are not empty with their line numbers. Raises `SheetUnreadable`."""
    if content.startswith(_WORKBOOKS):
        return _filled(_workbook_rows(content, sheet))
    return _filled(_csv_rows(_decoded(content)))


def _filled(rows: Iterator[Row]) -> Iterator[Row]:
    return ((line, cells[:MAX_COLUMNS]) for line, cells in rows if any(cells))


def _decoded(content: bytes) -> str:
    if content.startswith(_UTF_16):
        return _decode(content, "utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What spreadsheets of western countries write that do not know better.
        return _decode(content, "cp1252")


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SheetUnreadable(f"is no text at byte {error.start}; save it as UTF-8") from error


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=False)
    line = 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells]
            # A quoted cell may hold several lines; the row is where it begins.
            line = reader.line_num + 1
    except csv.Error as error:
        raise SheetUnreadable(f"cannot be split into cells at line {line}: {error}") from error


def _separator(text: str) -> str:
    """Find what cuts most lines into the same number of cells, the most of them."""
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:SAMPLE_LINES]

    def evenness(separator: str) -> tuple[int, int]:
        counts = Counter(count for line in lines if (count := line.count(separator)))
        return max(((lines_, count) for count, lines_ in counts.items()), default=(0, 0))

    return max(_SEPARATORS, key=evenness)


def _workbook_rows(content: bytes, sheet: str) -> Iterator[Row]:
    _check_size(content)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        name = sheet or next(iter(book.sheet_names), "")
        if name not in book.sheet_names:
            known = ", ".join(book.sheet_names)
            raise SheetUnreadable(f"has no sheet {name!r}; there are {known}")
        for line, cells in enumerate(book.get_sheet_by_name(name).iter_rows(), start=1):
            yield line, [_text(cell) for cell in cells]
    except CalamineError as error:
        raise SheetUnreadable(f"is no workbook that can be read: {error}") from error


def _check_size(content: bytes) -> None:
    if not content.startswith(_WORKBOOKS[0]):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            unpacked = sum(each.file_size for each in packed.infolist())
    except zipfile.BadZipFile as error:
        raise SheetUnreadable(f"is no workbook that can be read: {error}") from error
    if unpacked > MAX_UNPACKED_BYTES:
        raise SheetUnreadable(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes; split it")


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float):
        figure = f"{Decimal(repr(cell)):.{_DECIMALS}f}"
        return figure.rstrip("0").rstrip(".")
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return cell.isoformat() if isinstance(cell, date) else str(cell)
