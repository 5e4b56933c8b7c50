"""The folder of the catalogue: its tables, the mistakes in them, and what they may name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from policy.destination import WORLD
from server.facts.catalogue.rows import CountryNameRow
from server.facts.files.problems import Problems
from server.facts.files.table import read_table

# What may stand for a country and is none.
NO_COUNTRIES = frozenset({WORLD, "*"})

Row = TypeVar("Row", bound=msgspec.Struct)


@dataclass(slots=True)
class Source:
    """One reading of the folder. `countries` is what other tables may name."""

    folder: Path
    problems: Problems
    countries: set[str] = field(default_factory=set)

    def rows(self, name: str, kind: type[Row]) -> Iterator[tuple[int, Row]]:
        """Yield the sound rows of a table whose countries are all known."""
        for line, row in read_table(self.folder / name, kind, self.problems):
            if self._names_known_countries(name, line, row):
                yield line, row

    def add(self, name: str, line: int, text: str, *, column: str = "") -> None:
        """Note a mistake in a table."""
        self.problems.add(self.folder / name, line, column, text)

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
