"""What calls cost: the tables of rates, one file for each currency."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePath
from typing import TypeVar

from policy.destination import WORLD, Destination, NumberClass, find_destination
from policy.facts import Catalogue, DatedRate, Rate
from policy.rating import check_rate
from server.facts.catalogue.folder import Line, Source
from server.facts.catalogue.rows import PricedRow, RateRow, TollFreeRateRow, TollRateRow
from server.facts.files.figures import to_increments, to_micros, to_milliseconds

RATES = "rates"
TOLL_FREE_RATES = "toll_free_rates"
TOLL_RATES = "toll_rates"
# What a row of a country means that names no class.
CLASSES_OF_NO_NAME = (NumberClass.ORDINARY, NumberClass.MOBILE)
MAX_SHOWN_COUNTRIES = 20

Key = TypeVar("Key")
Row = TypeVar("Row", bound=PricedRow)
Dated = dict[Key, tuple[DatedRate, ...]]


def find_currencies(source: Source) -> list[str]:
    """List the currencies there are rates in, by the names of their files."""
    currencies = sorted(path.stem for path in (source.folder / RATES).glob("*.csv"))
    if not currencies:
        source.add(RATES, 0, "holds no file; give one for each currency, such as USD.csv")
    for name in currencies:
        if not (len(name) == 3 and name.isascii() and name.isupper()):
            source.add(f"{RATES}/{name}.csv", 0, "is not named after a currency, such as USD.csv")
    for folder in (TOLL_FREE_RATES, TOLL_RATES):
        for path in (source.folder / folder).glob("*.csv"):
            if path.stem not in currencies:
                text = f"is not used: there is no {RATES}/{path.name}; give one or remove this"
                source.add(f"{folder}/{path.name}", 0, text)
    return currencies


def read_rates(
    source: Source, currency: str, destinations: Mapping[str, Destination]
) -> Dated[str]:
    """Read the rates of one currency by prefix.

    A row of a country stands for each of its prefixes of the class, or of ordinary and mobile
    numbers where it names none; a row that names the class, or a prefix, comes before it from its
    own instant on. A destination may be without any: credits do not pay calls there.
    """
    file = f"{RATES}/{currency}.csv"
    named = _read_dated(
        source, file, RateRow, key_of=lambda row: (row.destination, row.number_class)
    )
    _check_destinations(source, file, set(named))
    found: Dated[str] = {target: rows for (target, _), rows in named.items() if target.isdigit()}
    own = _OwnRows(found.copy(), destinations)
    for prefix, destination in destinations.items():
        country, number_class = destination.country, destination.number_class
        rows, is_of_class = named.get((country, number_class.value)), True
        if rows is None and number_class in CLASSES_OF_NO_NAME:
            rows, is_of_class = named.get((country, "")), False
        if rows is not None:
            after = own.rows_for(prefix, destination, of_class_alone=is_of_class)
            until_ms = after[0].valid_from_ms if after else None
            before = (row for row in rows if until_ms is None or row.valid_from_ms < until_ms)
            found[prefix] = (*before, *after)
    return found


class _OwnRows:
    """The rows of prefixes, and which of them speak for the destinations of a country's row."""

    def __init__(
        self, rows: Mapping[str, tuple[DatedRate, ...]], destinations: Mapping[str, Destination]
    ) -> None:
        self._rows = rows
        self._destinations = destinations
        self._longest = max((len(each) for each in destinations if each.isdecimal()), default=0)

    def rows_for(
        self, prefix: str, destination: Destination, *, of_class_alone: bool
    ) -> tuple[DatedRate, ...]:
        """Find the rows of the longest prefix that is meant for a destination; or none."""
        digits = prefix.partition("/")[0]
        for end in range(len(digits), 0, -1):
            rows = self._rows.get(digits[:end])
            if rows is not None and (
                digits[:end] == prefix
                or self._is_meant(digits[:end], destination, of_class_alone=of_class_alone)
            ):
                return rows
        return ()

    def _is_meant(self, prefix: str, destination: Destination, *, of_class_alone: bool) -> bool:
        meant = find_destination(self._destinations, self._longest, f"+{prefix}")
        if meant is None or meant.country != destination.country:
            return False
        if meant.number_class is destination.number_class:
            return True
        return not of_class_alone and meant.number_class is NumberClass.ORDINARY


def warn_of_unrated(catalogue: Catalogue) -> tuple[str, ...]:
    """Tell, for each currency, the countries without any rate: a deck may well be short."""
    countries = {each.country for each in catalogue.destinations.values()} - {WORLD}
    return tuple(
        warning
        for currency, table in catalogue.rates.items()
        if (warning := _warning(currency, countries - _rated(catalogue, table)))
    )


def _rated(catalogue: Catalogue, table: Collection[str]) -> set[str]:
    found = (
        find_destination(catalogue.destinations, catalogue.longest_prefix, f"+{prefix}")
        for prefix in table
    )
    return {each.country for each in found if each is not None}


def _warning(currency: str, unrated: set[str]) -> str:
    if not unrated:
        return ""
    shown = ", ".join(sorted(unrated)[:MAX_SHOWN_COUNTRIES])
    more = f" and {len(unrated) - MAX_SHOWN_COUNTRIES} more" * (len(unrated) > MAX_SHOWN_COUNTRIES)
    return (
        f"{RATES}/{currency}.csv: no rate for {shown}{more}: "
        "what credits would pay there is refused, DESTINATION_UNRATED"
    )


def read_toll_free_rates(source: Source, currency: str) -> Dated[tuple[str, str]]:
    """Read what toll-free calls cost, by the country of the number and of the caller, if any do."""
    file = f"{TOLL_FREE_RATES}/{currency}.csv"
    return _read_dated(source, file, TollFreeRateRow, key_of=lambda row: (row.country, row.origin))


def read_toll_rates(source: Source, currency: str) -> Dated[str]:
    """Read what charged calls to toll numbers cost, by the country of the number."""
    file = f"{TOLL_RATES}/{currency}.csv"
    return _read_dated(source, file, TollRateRow, key_of=lambda row: row.country)


def _check_destinations(source: Source, file: str, named: set[tuple[str, str]]) -> None:
    for target, number_class in sorted(named):
        text = ""
        if target.isdigit() and number_class:
            text = f"{target} is a prefix; leave number_class empty, prefixes.csv says it"
        elif not target.isdigit() and target not in source.countries:
            text = f"{target} is no country of countries.csv"
        if text:
            source.add(file, 0, text, column="destination")


def _read_dated(
    source: Source, file: str, kind: type[Row], *, key_of: Callable[[Row], Key]
) -> Dated[Key]:
    """Read rows of one currency, and put those of one key in the order they come into force."""
    dated: dict[Key, dict[int, DatedRate]] = {}
    currency = PurePath(file).stem
    for line, row in _rows_of(source, file, kind):
        key = key_of(row)
        try:
            rate = _to_rate(row, key, currency=currency)
        except ValueError as error:
            source.add(file, line, str(error))
            continue
        rows = dated.setdefault(key, {})
        if rate.valid_from_ms in rows:
            text = f"{_name(row, key, currency)} stands here twice; remove one or change valid_from"
            source.add(file, line, text)
        rows[rate.valid_from_ms] = rate
    return {key: tuple(rows[at] for at in sorted(rows)) for key, rows in dated.items()}


def _rows_of(source: Source, file: str, kind: type[Row]) -> Iterator[tuple[Line, Row]]:
    """Yield the rows of a table; a currency need not have any of service numbers."""
    if PurePath(file).parent.name == RATES:
        return source.rows(file, kind)
    return source.optional_rows(file, kind)


def _to_rate(row: PricedRow, key: object, *, currency: str) -> DatedRate:
    """Turn a row into a rate. Raises ValueError, which names the field."""
    if not row.per_minute:
        return DatedRate(to_milliseconds(row.valid_from), None)
    first, following = to_increments(row.increments)
    rate = Rate(
        rate_id=_name(row, key, currency),
        currency=currency,
        micros_per_minute=to_micros(row.per_minute),
        connection_fee_micros=to_micros(row.connection_fee),
        first_increment_seconds=first,
        next_increment_seconds=following,
    )
    check_rate(rate)
    return DatedRate(to_milliseconds(row.valid_from), rate)


def _name(row: PricedRow, key: object, currency: str) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return ":".join([currency, *(str(part) for part in parts if part), row.valid_from])
