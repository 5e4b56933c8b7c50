"""A world from one file: its tenants become files of a directory, its rates change a catalogue."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from server.facts.files.problems import Problems
from server.facts.files.section import read_section
from server.facts.files.table import read_text
from server.facts.files.toml_lines import line_of, parse_toml
from server.settings import Settings

_RATES = "rates"
_FIRST_DAY = "2026-01-01"
_PRICE = r"^\d{1,6}(\.\d{1,6})?$"
Price = Annotated[
    str, msgspec.Meta(pattern=_PRICE, description='an amount in text, such as "0.10"')
]


class _RateSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    per_minute: Price
    connection_fee: Price = "0"
    increments: Annotated[str, msgspec.Meta(pattern=r"^\d+/\d+$", description="such as 60/60")] = (
        "60/60"
    )
    number_class: str = ""
    valid_from: str = _FIRST_DAY


class _ScenarioSection(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    tenants: dict[str, dict[str, Any]]
    # By currency, then by country or prefix: what a minute costs, or all of a rate.
    rates: dict[str, dict[str, Price | dict[str, str]]] = {}


def with_scenario(settings: Settings, path: Path) -> Settings:
    """Lay a scenario out in the data folder, and let the settings read it there.

    The rest of the catalogue stays that of the settings. Raises `InvalidFacts` where the file is no
    scenario; what its tenants say is checked as any directory is.
    """
    problems = Problems()
    section = _read(path, problems)
    problems.raise_if_any()
    assert section is not None, "without a problem there is a scenario"
    folder = settings.data_folder / "scenario"
    shutil.rmtree(folder, ignore_errors=True)
    directory, catalogue = folder / "directory", folder / "catalogue"
    directory.mkdir(parents=True)
    for tenant_id, tenant in section.tenants.items():
        text = "\n".join(_toml({"id": tenant_id} | tenant))
        (directory / f"{tenant_id}.toml").write_text(text + "\n", encoding="utf-8")
    if not section.rates:
        return replace(settings, directory_folder=directory)
    shutil.copytree(settings.catalogue_folder, catalogue)
    for currency, rates in section.rates.items():
        _change_rates(catalogue / _RATES / f"{currency}.csv", rates, path, problems)
    problems.raise_if_any()
    return replace(settings, catalogue_folder=catalogue, directory_folder=directory)


def _read(path: Path, problems: Problems) -> _ScenarioSection | None:
    text = read_text(path, problems)
    found = None if text is None else parse_toml(path, text, problems)
    if found is None:
        return None

    def report(name: str, told: str) -> None:
        problems.add(path, line_of(found.lines, (name,)) if name else 0, name, told)

    return read_section(found.values, _ScenarioSection, report)


def _change_rates(  # noqa: PLR0917 - What is changed, by what, and where it stands.
    file: Path, rates: Mapping[str, Any], path: Path, problems: Problems
) -> None:
    """Put rates in place of those of the same destination and class."""
    rows: dict[tuple[str, str], _RateSection] = {}
    for destination, given in rates.items():
        values = {"per_minute": given} if isinstance(given, str) else given

        def report(name: str, told: str, destination: str = destination) -> None:
            problems.add(path, 0, f"rates.{file.stem}.{destination}.{name}", told)

        rate = read_section(values, _RateSection, report)
        if rate is not None:
            rows[destination, rate.number_class] = rate
    head, kept = _split(file)
    lines = [",".join(row) for row in kept if (row[0], row[1]) not in rows]
    for (destination, number_class), rate in rows.items():
        figures = (rate.per_minute, rate.connection_fee, rate.increments, rate.valid_from)
        lines.append(",".join((destination, number_class, *figures)))
    file.write_text("\n".join((*head, *lines)) + "\n", encoding="utf-8")


def _split(file: Path) -> tuple[list[str], list[list[str]]]:
    """Read a table of rates: its comments and first line, and its rows."""
    if not file.exists():
        first = "destination,number_class,per_minute,connection_fee,increments,valid_from"
        return [first], []
    lines = file.read_text(encoding="utf-8").splitlines()
    count = next(place for place, line in enumerate(lines) if not line.startswith("#")) + 1
    return lines[:count], list(csv.reader(io.StringIO("\n".join(lines[count:]))))


def _toml(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Write what TOML has read; the standard library reads it only."""
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    if path:
        yield f"[{'.'.join(map(json.dumps, path))}]"
    for name, value in values.items():
        if name not in tables:
            yield f"{json.dumps(name)} = {_value(value)}"
    for name, table in tables.items():
        yield from _toml(table, (*path, name))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return json.dumps(value)
