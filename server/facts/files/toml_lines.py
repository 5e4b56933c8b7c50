"""On which line of a TOML file each key stands; the library that reads the values does not say."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple

from server.facts.files.problems import Problems

Path = tuple[str | int, ...]

# What matters while passing over a value; strings and comments are taken whole, for what they hide.
_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{},\n]",
    re.DOTALL,
)
_ERROR_LINE: Final = re.compile(r"at line (\d+)")
_PART: Final = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEY: Final = re.compile(rf"[ \t]*({_PART}(?:[ \t]*\.[ \t]*{_PART})*)")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|\#[^\n]*)*")


class Toml(NamedTuple):
    """What a text says, and on which line each key stands."""

    values: dict[str, Any]
    lines: dict[Path, int]


def parse_toml(file: FilePath, text: str, problems: Problems) -> Toml | None:
    """Read the text of a file, or note why that cannot be."""
    try:
        return Toml(tomllib.loads(text), find_lines(text))
    except tomllib.TOMLDecodeError as error:
        line = _ERROR_LINE.search(str(error))
        problems.add(file, int(line[1]) if line else 0, "", f"is not TOML: {error}")
        return None


def find_lines(text: str) -> dict[Path, int]:
    """Map the path of each table, key and array element to its line, counted from 1.

    `text` must be valid TOML. Arrays of tables are counted from 0. What stands inside an inline
    table has no line of its own: ask for that of the longest path that has one.
    """
    return _Scan(text).run()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a path, or of the nearest thing around it that has one."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 0


class _Scan:
    """One walk over the text, from key to key."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._at = 0
        self._table: Path = ()
        # The last index of each array of tables.
        self._last: dict[Path, int] = {}
        self._lines: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        self._skip_blank()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                self._read_header()
            else:
                self._read_pair()
            self._skip_blank()
        return self._lines

    def _line(self) -> int:
        return bisect_left(self._line_ends, self._at) + 1

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank is not None else self._at

    def _read_header(self) -> None:
        line, is_array = self._line(), self._text.startswith("[[", self._at)
        self._at += 1 + is_array
        *outer, own = self._read_key()
        path: Path = ()
        for part in outer:
            path = self._inside_array((*path, part))
        path = (*path, own)
        if is_array:
            self._last[path] = self._last.get(path, -1) + 1
        self._table = self._inside_array(path)
        self._note(self._table, line)
        line_end = self._text.find("\n", self._at)
        self._at = line_end if line_end >= 0 else len(self._text)

    def _note(self, path: Path, line: int) -> None:
        """Note where a path begins, and the tables that it opens on its way."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return
            self._lines[path[:end]] = line

    def _inside_array(self, path: Path) -> Path:
        return (*path, self._last[path]) if path in self._last else path

    def _read_pair(self) -> None:
        line = self._line()
        path = (*self._table, *self._read_key())
        self._note(path, line)
        self._at = self._text.index("=", self._at) + 1
        self._skip_blank()
        if self._text.startswith("[", self._at):
            self._read_array(path)
        self._pass_over("\n")

    def _read_key(self) -> tuple[str, ...]:
        """Read a dotted key; the library itself undoes quotes."""
        match = _KEY.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no key on line {self._line()}: the text is not valid TOML")
        self._at = match.end()
        if _BARE_KEY.fullmatch(match[1]):
            return tuple(match[1].split("."))
        nested: Any = tomllib.loads(f"{match[1]} = 0")
        parts: list[str] = []
        while isinstance(nested, dict):
            part, nested = next(iter(nested.items()))
            parts.append(part)
        return tuple(parts)

    def _read_array(self, path: Path) -> None:
        """Note where each element begins, and stop behind the array."""
        self._at += 1
        element = 0
        self._skip_blank()
        while not self._text.startswith("]", self._at):
            self._lines[*path, element] = self._line()
            element += 1
            if self._pass_over(",]") == "]":
                return
            self._skip_blank()
        self._at += 1

    def _pass_over(self, ends: str) -> str:
        """Go behind the next of `ends` that stands in no string, comment or bracket; return it."""
        depth = 0
        for match in _TOKEN.finditer(self._text, self._at):
            found = match.group()
            if depth == 0 and found in ends:
                self._at = match.end()
                return found
            depth += (found in "[{") - (found in "]}")
        self._at = len(self._text)
        return ""
