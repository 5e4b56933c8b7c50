"""The folder of the catalogue: its tables, the mistakes in them, and what they may name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from policy.destination import WORLD
from server.facts.catalogue.rows import CountryNameRow
from server.facts.files.problems import Problems
from server.facts.files.table import read_table

# What may stand for a country and is none.
NO_COUNTRIES = frozenset({WORLD, "*"})

Row = TypeVar("Row", bound=msgspec.Struct)


_OVERLAY_END = "_extra.csv"
# Those that are not called after their table.
_OVERLAY_NAMES = {"emergency_numbers.csv": "emergency_extra.csv"}


class Line(int):
    """The number of a line, and the file it is of: a table's rows may be of two."""

    file: str

    @classmethod
    def of(cls, number: int, file: str) -> Self:
        """Make one."""
        line = cls(number)
        line.file = file
        return line


def overlay_of(name: str) -> str:
    """Name the operator's own file that is laid over a table."""
    return _OVERLAY_NAMES.get(name, f"{name.removesuffix('.csv')}{_OVERLAY_END}")


def _key(row: msgspec.Struct) -> tuple[str, ...]:
    return tuple(str(getattr(row, column)) for column in getattr(row, "KEY", ()))


@dataclass(slots=True)
class Source:
    """One reading of the folder. `countries` is what other tables may name."""

    folder: Path
    problems: Problems
    countries: set[str] = field(default_factory=set)
    _overlays: set[str] = field(default_factory=set)

    def rows(self, name: str, kind: type[Row]) -> Iterator[tuple[Line, Row]]:
        """Yield the sound rows of a table whose countries are all known.

        The operator's own come last. They replace the rows they agree with in the key of `kind`,
        and are added to the others.
        """
        own = list(self._own_rows(overlay_of(name), kind))
        replaced = {key for _, row in own if (key := _key(row))}
        for line, row in self._sound_rows(name, kind):
            if not replaced or _key(row) not in replaced:
                yield line, row
        yield from own

    def optional_rows(self, name: str, kind: type[Row]) -> Iterator[tuple[Line, Row]]:
        """Yield the rows of a table that may be missing, and of the operator's."""
        if (self.folder / name).exists():
            yield from self.rows(name, kind)
        else:
            yield from self._own_rows(overlay_of(name), kind)

    def check_overlays(self) -> None:
        """Note what the operator wrote that is laid over none of the tables that were read."""
        for path in sorted(self.folder.glob(f"*{_OVERLAY_END}")):
            if path.name not in self._overlays:
                known = ", ".join(sorted(self._overlays))
                self.add(path.name, 0, f"is laid over no table; give one of {known}")

    def add(self, name: str, line: int, text: str, *, column: str = "") -> None:
        """Note a mistake in a table, or in the operator's own that the line is of."""
        file = line.file if isinstance(line, Line) else name
        self.problems.add(self.folder / file, line, column, text)

    def _own_rows(self, name: str, kind: type[Row]) -> Iterator[tuple[Line, Row]]:
        self._overlays.add(name)
        if (self.folder / name).exists():
            yield from self._sound_rows(name, kind)

    def _sound_rows(self, name: str, kind: type[Row]) -> Iterator[tuple[Line, Row]]:
        for number, row in read_table(self.folder / name, kind, self.problems):
            line = Line.of(number, name)
            if self._names_known_countries(name, line, row):
                yield line, row

    def read_countries(self) -> None:
        """Read the list of countries, which every other table is checked against."""
        for line, row in read_table(self.folder / "countries.csv", CountryNameRow, self.problems):
            if row.country in self.countries:
                self.add("countries.csv", line, f"{row.country} stands here twice; remove one")
            self.countries.add(row.country)

    def _names_known_countries(self, name: str, line: int, row: msgspec.Struct) -> bool:
        known = True
        for column in ("country", "origin"):
            code = getattr(row, column, WORLD)
            if code not in self.countries and code not in NO_COUNTRIES:
                text = f"is {code!r}; give a country of countries.csv"
                self.add(name, line, text, column=column)
                known = False
        return known
