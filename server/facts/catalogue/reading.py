"""Reading the folder of the catalogue as a whole: every table, every mistake, one version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from policy.facts import Catalogue, Plan, Restriction
from policy.licence import Sku
from policy.rating import finest_rate_prefix
from server.facts.catalogue import rates, tables
from server.facts.catalogue.folder import Source
from server.facts.files.problems import Problems

VERSION_DIGITS = 12
NAME_FILE = "NAME"
MAX_NAME_LENGTH = 32


# Name, time of the last change and size of every file.
Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class CatalogueFiles:
    """The catalogue, and those of its tables that only the directory is read with."""

    catalogue: Catalogue
    countries: frozenset[str]
    credits_countries: frozenset[str]
    plans: Mapping[tuple[str, str], Plan]
    skus: Mapping[str, Sku]
    restrictions: Mapping[str, Restriction]


# What was read before this process was forked, by folder; see `keep_catalogue`.
_kept: dict[Path, tuple[Signature, CatalogueFiles]] = {}


def keep_catalogue(folder: Path) -> None:
    """Read a folder now, for all processes that are forked from this one, while it stays as it is.

    Raises `InvalidFacts`.
    """
    problems = Problems()
    signature, files = _signature(folder), read_catalogue(folder, problems)
    problems.raise_if_any()
    _kept[folder.absolute()] = signature, files


def read_catalogue(folder: Path, problems: Problems) -> CatalogueFiles:
    """Read all tables of the folder and note every mistake.

    With any mistake the result is not to be served; it is whole enough to check the directory by.
    """
    kept = _kept.get(folder.absolute())
    if kept is not None and kept[0] == _signature(folder):
        return kept[1]
    source = Source(folder, problems)
    source.read_countries()
    destinations = tables.read_prefixes(source)
    currencies = rates.find_currencies(source)
    plans = tables.read_plans(source)
    by_prefix = {name: rates.read_rates(source, name, destinations) for name in currencies}
    catalogue = Catalogue(
        version=_version(source),
        destinations=destinations,
        longest_prefix=max(
            (len(prefix) for prefix in destinations if prefix.isdecimal()), default=0
        ),
        rates=by_prefix,
        finest_rate_prefix=finest_rate_prefix(by_prefix, destinations),
        toll_free_rates={name: rates.read_toll_free_rates(source, name) for name in currencies},
        toll_rates={name: rates.read_toll_rates(source, name) for name in currencies},
        zone_a=tables.read_country_list(source, "zone_a.csv"),
        international_plan=tables.read_country_list(source, "international_plan.csv"),
        premium_rules=tables.read_premium_rules(source),
        emergency=tables.read_emergency(source),
        toll_free_reach=tables.read_toll_free_reach(source),
        short_codes=tables.read_short_codes(source),
    )
    files = _with_tables(source, catalogue, plans)
    source.check_overlays()
    return files


def read_tables(folder: Path, catalogue: Catalogue) -> CatalogueFiles:
    """Read beside a catalogue those tables that only the directory is read with; they are small.

    Raises `InvalidFacts`.
    """
    source = Source(folder, Problems())
    source.read_countries()
    files = _with_tables(source, catalogue, tables.read_plans(source))
    source.problems.raise_if_any()
    return files


def _with_tables(
    source: Source, catalogue: Catalogue, plans: dict[tuple[str, str], Plan]
) -> CatalogueFiles:
    return CatalogueFiles(
        catalogue=catalogue,
        countries=frozenset(source.countries),
        credits_countries=tables.read_country_list(source, "credits_countries.csv"),
        plans=plans,
        skus=tables.read_skus(source, plans),
        restrictions=tables.read_restrictions(source),
    )


def _signature(folder: Path) -> Signature:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def _version(source: Source) -> str:
    """Name the content: the catalogue's name and a short hash over all of its tables."""
    digest = hashlib.sha256()
    for path in sorted(source.folder.rglob("*.csv")):
        name = path.relative_to(source.folder).as_posix()
        try:
            content = path.read_bytes()
        except OSError as error:
            source.add(name, 0, f"cannot be read: {error.strerror}")
            continue
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return f"{_name(source)}.{digest.hexdigest()[:VERSION_DIGITS]}"


def _name(source: Source) -> str:
    try:
        name = (source.folder / NAME_FILE).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if not (0 < len(name) <= MAX_NAME_LENGTH and name.isascii() and name.isprintable()):
        text = f"give a line of 1 to {MAX_NAME_LENGTH} characters, such as sample-2026-11"
        source.add(NAME_FILE, 0, text)
    return name
