"""Tables: comma-separated files with comments, a header, and one row a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from server.facts.files.cells import other_separator
from server.facts.files.problems import Problems
from server.facts.files.section import read_section

MAX_FILE_BYTES = 128 * 1024 * 1024
MAX_ROWS = 1_000_000

Row = TypeVar("Row", bound=msgspec.Struct)


def read_text(path: Path, problems: Problems) -> str | None:
    """Read a whole file as UTF-8, or note why that cannot be."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            problems.add(path, 0, "", f"is larger than {MAX_FILE_BYTES} bytes; split or shorten it")
            return None
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        problems.add(path, 0, "", f"is not UTF-8 at byte {error.start}; save it as UTF-8")
    except OSError as error:
        problems.add(path, 0, "", f"cannot be read: {error.strerror}")
    return None


def read_table(path: Path, kind: type[Row], problems: Problems) -> list[tuple[int, Row]]:
    """Read the rows of a table with their line numbers; note every wrong one and leave it out.

    Lines that start with "#" and empty lines are comments. The header names each field of `kind`
    once, in any order; one that has a default may be left out.
    """
    text = read_text(path, problems)
    if text is None:
        return []
    lines = _content(text)
    table = _Table(path, kind, problems)
    header_line, header = next(lines, (0, ""))
    if not table.read_header(header_line, header):
        return []
    rows: list[tuple[int, Row]] = []
    for line, content in lines:
        if len(rows) >= MAX_ROWS:
            problems.add(path, line, "", f"more than {MAX_ROWS} rows; split the table")
            break
        row = table.read_row(line, content)
        if row is not None:
            rows.append((line, row))
    return rows


def _content(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.rstrip("\r")
        if content and not content.startswith("#"):
            yield number, content


class _Table(Generic[Row]):
    """One table: its columns, once the header was read, and where its mistakes are noted."""

    def __init__(self, path: Path, kind: type[Row], problems: Problems) -> None:
        self._path = path
        self._kind = kind
        self._problems = problems
        self._columns: list[str] = []

    def read_header(self, line: int, header: str) -> bool:
        fields = msgspec.structs.fields(self._kind)
        wanted = [field.encode_name for field in fields]
        needed = {field.encode_name for field in fields if field.required}
        self._columns = next(csv.reader([header]), [])
        given = set(self._columns)
        if len(given) == len(self._columns) and needed <= given <= set(wanted):
            return True
        separator = other_separator(self._columns)
        if separator:
            text = f"the columns are separated by {separator!r}; separate them by commas"
            self._report(line, "", text)
            return False
        self._report(line, "", f"the header is {header!r}; give the columns {','.join(wanted)}")
        return False

    def read_row(self, line: int, content: str) -> Row | None:
        try:
            cells = next(csv.reader([content], strict=True))
        except csv.Error as error:
            self._report(line, "", f"cannot be split into cells: {error}; a row is one line")
            return None
        if len(cells) != len(self._columns):
            columns = f"{len(cells)} cells, the header {len(self._columns)}"
            self._report(line, "", f"has {columns}; give as many")
            return None
        values: dict[str, Any] = dict(zip(self._columns, cells, strict=True))
        report = partial(self._report, line)
        return read_section(values, self._kind, report, strict=False)

    def _report(self, line: int, name: str, text: str) -> None:
        self._problems.add(self._path, line, name, text)
