"""The table of one currency in the catalogue's folder: read as timelines, and written anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from server.facts.catalogue.rates import RATES
from server.facts.catalogue.rows import RateRow
from server.facts.decks.deck import DeckRate
from server.facts.decks.merge import Timeline
from server.facts.decks.places import Target
from server.facts.files.figures import to_micros, to_milliseconds
from server.facts.files.problems import Problems
from server.facts.files.table import read_table

_MICROS = 1_000_000
_LEAST_DECIMALS = 4


def table_path(folder: Path, currency: str) -> Path:
    """Say where the rates of a currency stand."""
    return folder / RATES / f"{currency}.csv"


def read_timelines(path: Path, problems: Problems) -> dict[Target, list[DeckRate]]:
    """Read the rates there are; none where there is no file."""
    found: dict[Target, list[DeckRate]] = {}
    for line, row in read_table(path, RateRow, problems) if path.exists() else ():
        rate = DeckRate(
            row.valid_from,
            to_milliseconds(row.valid_from),
            to_micros(row.per_minute) if row.per_minute else None,
            to_micros(row.connection_fee),
            row.increments,
            line,
        )
        found.setdefault((row.destination, row.number_class), []).append(rate)
    for rates in found.values():
        rates.sort(key=lambda each: each.valid_from_ms)
    return found


def write_timelines(rates: Mapping[Target, Timeline], heading: str) -> Iterator[str]:
    """Write a table of rates, line by line, in the order of its destinations."""
    yield f"# {heading}\n"
    yield "destination,number_class,per_minute,connection_fee,increments,valid_from\n"
    for destination, number_class in sorted(rates):
        for each in rates[destination, number_class]:
            price = "" if each.per_minute_micros is None else amount(each.per_minute_micros)
            fee = amount(each.connection_fee_micros)
            yield (
                f"{destination},{number_class},{price},{fee},{each.increments},{each.valid_from}\n"
            )


def amount(micros: int) -> str:
    """Write micros in units, with the decimals they have."""
    units, rest = divmod(micros, _MICROS)
    decimals = f"{rest:06d}"
    while len(decimals) > _LEAST_DECIMALS and decimals.endswith("0"):
        decimals = decimals[:-1]
    return f"{units}.{decimals}"
