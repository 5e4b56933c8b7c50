"""Users as a table: a header with names of columns, then a user a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from server.facts.directory.sections import UserSection
from server.facts.files.cells import other_separator, read_cell, write_cell
from server.facts.files.problems import Problems

ID_COLUMN = "user_id"
COLUMNS = (ID_COLUMN, *UserSection.__struct_fields__)

_FLAGS = frozenset({"allow_toll_free_dial_in", "frozen"})
_WORDS = {"true": True, "false": False}


def read_users(
    path: Path, text: str, problems: Problems
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield line, id and fields of each user; note lines that are none.

    The fields are those of the columns there are, None where a cell is empty.
    """
    seen: dict[str, int] = {}
    lines = _content(text)
    header_line, header = next(lines, (0, ""))
    columns = _header(path, header_line, header, problems=problems)
    if not columns:
        return
    for line, content in lines:
        cells = _cells(content)
        if len(cells) != len(columns):
            have = f"has {len(cells)} cells, the header {len(columns)}; a user is one line"
            problems.add(path, line, "", have)
            continue
        values = {name: _value(name, cell) for name, cell in zip(columns, cells, strict=True)}
        user_id = str(values.pop(ID_COLUMN) or "")
        if user_id in seen:
            where = f"stands in line {seen[user_id]} as well; give each user one line"
            problems.add(path, line, ID_COLUMN, f"{user_id!r} {where}")
            continue
        seen[user_id] = line
        yield line, user_id, values


def write_users(users: Iterable[tuple[str, UserSection]]) -> Iterator[str]:
    """Write a table of users: the header, then each user as a line."""
    yield _line(COLUMNS)
    for user_id, section in users:
        values = msgspec.to_builtins(section)
        yield _line((user_id, *(_cell(values.get(name)) for name in COLUMNS[1:])))


def _content(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.rstrip("\r")
        if content and not content.startswith("#"):
            yield number, content


def _header(path: Path, line: int, header: str, *, problems: Problems) -> list[str]:
    columns = _cells(header)
    separator = other_separator(columns)
    if separator:
        text = f"the columns are separated by {separator!r}; separate them by commas"
        problems.add(path, line, "", text)
        return []
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or len(set(columns)) != len(columns) or ID_COLUMN not in columns:
        wanted = f"give {ID_COLUMN} and any other of {', '.join(COLUMNS)}, each once"
        text = f"the header is {header[:200]!r}; {wanted}"
        problems.add(path, line, "", text)
        return []
    return columns


def _cells(content: str) -> list[str]:
    try:
        return [read_cell(cell) for cell in next(csv.reader([content], strict=True), [])]
    except csv.Error:
        return []


def _value(name: str, cell: str) -> Any:
    """Read a cell as the TOML of a file would have it; what is wrong stays a text, to be told."""
    if name == "licences":
        return cell.split()
    if not cell:
        return None
    if name in _FLAGS:
        return _WORDS.get(cell.lower(), cell)
    if name == "concurrent_calls_limit" and cell.isascii() and cell.isdecimal():
        return int(cell)
    return cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else str(value)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    written = [write_cell(cell) for cell in cells]
    # A line that begins with # would be a comment.
    if written[0].startswith("#"):
        csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(written)
    else:
        csv.writer(buffer, lineterminator="\n").writerow(written)
    return buffer.getvalue()
