"""Which column of a deck says what: by a map that was given, else by the names carriers use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from server.facts.decks.values import currency_of

# Field -> the names that columns of it have, the surest first; letters and digits alone.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "prefix": (
        *("prefix", "prefixes", "dialcode", "dialcodes", "dialingcode", "dialprefix", "code"),
        *("codes", "destinationcode", "destinationprefix", "breakoutcode", "destination"),
    ),
    "country": ("country", "countryname", "land", "pays", "destinationcountry"),
    "country_code": ("countrycode", "cc", "internationalcode", "intlcode"),
    "area_codes": ("areacodes", "areacode", "citycodes", "citycode", "area", "npa", "ndc"),
    "name": ("destinationname", "name", "description", "zone", "region", "destination"),
    "number_class": ("numberclass",),
    "per_minute": (
        *("perminute", "rate", "price", "rateperminute", "ratepermin", "priceperminute"),
        *("pricepermin", "ratemin", "pricemin", "newrate", "newprice", "tariff", "preis", "prix"),
        *("permin", "preisminute", "tarif", "cost", "min"),
    ),
    "connection_fee": (
        *("connectionfee", "connectfee", "setupfee", "setup", "callsetup", "connectioncharge"),
        *("setupcharge", "surcharge"),
    ),
    "increments": (
        *("increments", "increment", "billingincrement", "billingincrements", "billing"),
        *("billinginterval", "rounding", "interval", "intervals", "taktung"),
    ),
    "first_increment": (
        *("firstincrement", "initialincrement", "firstinterval", "initialinterval"),
        *("minimumduration", "minduration", "minimum", "initialperiod"),
    ),
    "next_increment": (
        *("nextincrement", "subsequentincrement", "nextinterval", "subsequentinterval"),
        *("additionalincrement", "additionalinterval", "additionalperiod"),
    ),
    "valid_from": (
        *("validfrom", "effectivedate", "effective", "effectivefrom", "startdate", "datefrom"),
        *("from", "date", "gueltigab", "gültigab"),
    ),
    "valid_until": (
        *("validuntil", "validto", "enddate", "expirydate", "expires", "until", "to", "dateto"),
    ),
    "currency": ("currency", "curr", "ccy", "devise", "waehrung", "währung"),
}
# One of these says where a rate leads.
PLACES: Final = ("prefix", "area_codes", "country_code", "country")
_WORDS = re.compile(r"[^\W_]+", re.UNICODE)
_SIGNS = re.compile(r"[^\W_]+|[$€£¥]", re.UNICODE)
_NUMBERED = re.compile(r"#([1-9][0-9]{0,2})")


class ColumnsUnknown(Exception):
    """The header does not say what a deck has to; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands, the header it stands under, and the currency a header named."""

    header_line: int
    places: Mapping[str, int]
    header: Sequence[str]
    currency: str = ""
    given: Mapping[str, str] = field(default_factory=dict)

    def cell(self, cells: Sequence[str], name: str) -> str:
        """Give a field's cell; empty where the deck has no such column."""
        place = self.places.get(name, -1)
        return cells[place] if 0 <= place < len(cells) else ""

    def title(self, name: str) -> str:
        """Name a field as the deck does."""
        place = self.places.get(name, -1)
        return (self.header[place] or f"#{place + 1}") if place >= 0 else name

    def told(self) -> list[tuple[str, str]]:
        """List each field with its column, in the deck's order."""
        return [
            (name, self.title(name)) for name in sorted(self.places, key=self.places.__getitem__)
        ]


def find_columns(rows: Iterable[tuple[int, list[str]]], given: Mapping[str, str]) -> Columns:
    """Find the header among the first rows, and what its columns say. Raises `ColumnsUnknown`."""
    unknown = sorted(given.keys() - NAMES.keys())
    if unknown:
        raise ColumnsUnknown(f"{unknown[0]!r} is no field to map; there are {', '.join(NAMES)}")
    best: Columns | None = None
    for line, cells in rows:
        found = _columns_of(line, cells, given)
        if "per_minute" in found.places and any(name in found.places for name in PLACES):
            return found
        if best is None or len(found.places) > len(best.places):
            best = found
    raise ColumnsUnknown(_missing(best, given))


def _missing(best: Columns | None, given: Mapping[str, str]) -> str:
    if best is None:
        return "is empty"
    seen = ", ".join(repr(title) for title in best.header if title) or "nothing"
    for name, title in given.items():
        if name not in best.places:
            return f"has no column {title!r} for {name}; line {best.header_line} has {seen}"
    wanted = "per_minute" if "per_minute" not in best.places else f"one of {', '.join(PLACES)}"
    return (
        f"has no column for {wanted} in its first rows; line {best.header_line} has {seen}: "
        "say which it is, --map FIELD=COLUMN"
    )


def _columns_of(line: int, cells: Sequence[str], given: Mapping[str, str]) -> Columns:
    places: dict[str, int] = {}
    for name, title in given.items():
        place = _place_given(cells, title)
        if place is not None:
            places[name] = place
    plain = [_plain(cell) for cell in cells]
    for name, known in NAMES.items():
        free = [
            title for title in known if title in plain and plain.index(title) not in places.values()
        ]
        if name not in places and free:
            places[name] = plain.index(free[0])
    rate = places.get("per_minute", -1)
    currency = _currency_in(cells[rate]) if rate >= 0 else ""
    return Columns(line, places, cells, currency, given)


def _place_given(cells: Sequence[str], title: str) -> int | None:
    numbered = _NUMBERED.fullmatch(title)
    if numbered:
        return int(numbered[1]) - 1
    wanted = title.strip().casefold()
    return next((i for i, cell in enumerate(cells) if cell.strip().casefold() == wanted), None)


def _plain(title: str) -> str:
    """Leave a title's words without its currency; a price by the second is no price a minute."""
    words = [word for word in _WORDS.findall(title) if not currency_of(word)]
    return "".join(words).casefold()


def _currency_in(title: str) -> str:
    return next((found for word in _SIGNS.findall(title) if (found := currency_of(word))), "")
