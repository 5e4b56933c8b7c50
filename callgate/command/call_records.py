"""Call records of others: which column says what, and a line of a file as a call to settle."""

from __future__ import annotations

import csv
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from callgate.command.engine import NotAccepted
from callgate.command.question import KINDS
from callgate.command.terminal import read_cell
from callgate.v1.authorization_pb2 import AuthorizeCallRequest

# Records of one file.
MOST_RECORDS = 1_000_000
# A call of more than a day is a mistake of whoever wrote the record.
MOST_SECONDS = 86_400
# How far ahead of this machine's clock a record may begin.
_AHEAD = timedelta(minutes=5)
_REQUIRED = ("call", "to", "start")
_COLUMNS = (*_REQUIRED, "tenant", "gateway", "kind", "account", "from", "seconds", "answer", "end")
_FIXED = ("tenant", "gateway", "kind", "account")
_DURATION = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{2})(?:[.,]\d+)?")


class LineWrong(Exception):
    """A line cannot be used. Its text names the column and the fix."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One line of a file: the call as AuthorizeCall would be asked, and how long it talked."""

    line: int
    question: AuthorizeCallRequest
    used_seconds: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LineRefused:
    """One line that is not settled, and why."""

    line: int
    why: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMapping:
    """Which column says what, and what is so for every line."""

    columns: Mapping[str, str]
    fixed: Mapping[str, str]
    kinds: Mapping[str, str]
    zone: ZoneInfo
    time_format: str
    delimiter: str
    encoding: str


def read_mapping(path: Path) -> RecordMapping:
    """Read a file that says which column is what. Raises `NotAccepted` with the key and the fix."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise NotAccepted(f"{path}: {wrong}") from wrong
    known = {*_FIXED, "columns", "kinds", "zone", "time_format", "delimiter", "encoding"}
    for key in given.keys() - known:
        raise NotAccepted(f"{path}: {key}: is no key; these are: {', '.join(sorted(known))}")
    columns = _texts(path, "columns", given)
    fixed = {key: _text(path, key, given[key]) for key in _FIXED if key in given}
    _check_columns(path, columns, fixed)
    zone = _text(path, "zone", given.get("zone", "UTC"))
    try:
        where = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise NotAccepted(f"{path}: zone: {zone!r} is no time zone such as Europe/Rome") from None
    delimiter = _text(path, "delimiter", given.get("delimiter", ","))
    if len(delimiter) != 1:
        raise NotAccepted(f"{path}: delimiter: {delimiter!r} is not one character")
    return RecordMapping(
        columns=columns,
        fixed=fixed,
        kinds=_texts(path, "kinds", given),
        zone=where,
        time_format=_text(path, "time_format", given.get("time_format", "")),
        delimiter=delimiter,
        encoding=_text(path, "encoding", given.get("encoding", "utf-8-sig")),
    )


def _check_columns(path: Path, columns: Mapping[str, str], fixed: Mapping[str, str]) -> None:
    for key in columns.keys() - set(_COLUMNS):
        raise NotAccepted(f"{path}: columns.{key}: is unknown; these are: {', '.join(_COLUMNS)}")
    for key in _REQUIRED:
        if key not in columns:
            raise NotAccepted(f"{path}: columns.{key}: is missing; name the column that says it")
    for key in ("tenant", "gateway", "kind"):
        if key not in columns and key not in fixed:
            raise NotAccepted(f"{path}: {key}: is missing; give it, or its column as columns.{key}")
    if "seconds" not in columns and "end" not in columns:
        raise NotAccepted(f"{path}: columns.seconds: is missing; name it, or columns.end")


def _texts(path: Path, key: str, given: Mapping[str, Any]) -> dict[str, str]:
    table = given.get(key, {})
    if not isinstance(table, dict):
        raise NotAccepted(f"{path}: {key}: is no table; write [{key}] and a line for each")
    return {name: _text(path, f"{key}.{name}", text) for name, text in table.items()}


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise NotAccepted(f"{path}: {key}: {value!r} is no text; put it in quotes")
    return value


@dataclass(slots=True)
class RecordFile:
    """A file of call records, read line by line.

    Attributes:
        now: When it is read; a record that began after that has a wrong zone or clock.
        oldest: How long ago a call may have begun at most.
    """

    path: Path
    mapping: RecordMapping
    now: datetime
    oldest: timedelta
    header: list[str] = field(default_factory=list)
    _seen: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def records(self) -> Iterator[CallRecord | LineRefused]:
        """Go through the lines. Raises `NotAccepted` where no line of the file can be read."""
        try:
            with self.path.open(encoding=self.mapping.encoding, newline="") as file:
                reader = csv.DictReader(file, delimiter=self.mapping.delimiter)
                self._check_header([name.strip() for name in reader.fieldnames or ()])
                reader.fieldnames = self.header
                for count, row in enumerate(reader):
                    if count >= MOST_RECORDS:
                        raise NotAccepted(
                            f"{self.path}: at most {MOST_RECORDS} records are taken at a time;"
                            " split the file"
                        )
                    yield self._line(reader.line_num, row)
        except (UnicodeError, LookupError) as wrong:
            raise NotAccepted(
                f'{self.path}: {wrong}; say how it is written: encoding = "cp1252"'
            ) from wrong
        except csv.Error as wrong:
            raise NotAccepted(f"{self.path}: {wrong}") from wrong

    def _check_header(self, header: list[str]) -> None:
        for key, column in self.mapping.columns.items():
            if column not in header:
                raise NotAccepted(
                    f"{self.path}:1: there is no column {column!r} (columns.{key});"
                    f" the file has: {', '.join(header) or 'none'}"
                )
        self.header = header

    def _line(self, line: int, row: dict[str, Any]) -> CallRecord | LineRefused:
        cells = {str(name): read_cell(str(cell or "")) for name, cell in row.items() if name}
        try:
            if None in row or None in row.values():
                raise LineWrong("has not as many cells as the first line; put texts in quotes")
            return self._record(line, cells)
        except LineWrong as wrong:
            return LineRefused(line, str(wrong), cells)

    def _record(self, line: int, cells: Mapping[str, str]) -> CallRecord:
        began = self._time("start", cells)
        if began > self.now + _AHEAD:
            raise LineWrong(
                f"{self.mapping.columns['start']}: is in the future; look at zone and time_format"
            )
        if began < self.now - self.oldest:
            raise LineWrong(
                f"{self.mapping.columns['start']}: is more than {self.oldest.days} days ago, when"
                " the engine may not know any more that it was charged"
            )
        question = self._question(cells)
        used_seconds = self._used_seconds(began, cells)
        key = (question.tenant_id, question.gateway_id, question.call_id)
        if (before := self._seen.setdefault(key, line)) != line:
            raise LineWrong(f"{self.mapping.columns['call']}: is the call of line {before} again")
        return CallRecord(line, question, used_seconds, cells)

    def _question(self, cells: Mapping[str, str]) -> AuthorizeCallRequest:
        question = AuthorizeCallRequest(
            tenant_id=self._said("tenant", cells),
            gateway_id=self._said("gateway", cells),
            call_id=self._said("call", cells),
            called_number=self._said("to", cells),
            calling_number=self._said("from", cells, may_be_empty=True),
        )
        said = self._said("kind", cells)
        name = self.mapping.kinds.get(said, said)
        if name not in KINDS:
            raise LineWrong(
                f"{self._column('kind')}: {said!r} is no kind; say what it is under [kinds]:"
                f" {', '.join(KINDS)}"
            )
        kind, payer = KINDS[name]
        account = self._said("account", cells, may_be_empty=kind == "service_number_call")
        getattr(question, kind).SetInParent()
        if payer == "resource_account_ids":
            getattr(question, kind).resource_account_ids.extend(account.split())
        else:
            setattr(getattr(question, kind), payer, account)
        return question

    def _column(self, key: str) -> str:
        return self.mapping.columns.get(key, key)

    def _said(self, key: str, cells: Mapping[str, str], *, may_be_empty: bool = False) -> str:
        column = self.mapping.columns.get(key)
        said = cells[column].strip() if column else self.mapping.fixed.get(key, "")
        said = said or self.mapping.fixed.get(key, "")
        if not said and not may_be_empty:
            raise LineWrong(f"{self._column(key)}: is empty")
        return said

    def _time(self, key: str, cells: Mapping[str, str]) -> datetime:
        said = self._said(key, cells)
        try:
            if self.mapping.time_format:
                read = datetime.strptime(said, self.mapping.time_format)  # noqa: DTZ007 # The zone follows.
            else:
                read = datetime.fromisoformat(said)
        except ValueError:
            wanted = self.mapping.time_format or "2026-11-30T18:05:00"
            raise LineWrong(f"{self._column(key)}: {said!r} is not written as {wanted}") from None
        return (read if read.tzinfo else read.replace(tzinfo=self.mapping.zone)).astimezone(UTC)

    def _used_seconds(self, began: datetime, cells: Mapping[str, str]) -> int:
        key = "seconds" if "seconds" in self.mapping.columns else "end"
        if key == "seconds":
            used = _seconds_of(self._said(key, cells), self._column(key))
        else:
            since = began
            if "answer" in self.mapping.columns:
                if not self._said("answer", cells, may_be_empty=True):
                    return 0
                since = self._time("answer", cells)
            used = math.ceil((self._time(key, cells) - since).total_seconds())
        if not 0 <= used <= MOST_SECONDS:
            raise LineWrong(f"{self._column(key)}: {used} seconds are not 0 to {MOST_SECONDS}")
        return used


def _seconds_of(said: str, column: str) -> int:
    if found := _DURATION.fullmatch(said):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return hours * 3_600 + minutes * 60 + seconds
    try:
        return math.ceil(float(said.replace(",", ".")))
    except (ValueError, OverflowError):
        raise LineWrong(
            f"{column}: {said!r} is no duration such as 75, 75.3, 1:15 or 00:01:15"
        ) from None
