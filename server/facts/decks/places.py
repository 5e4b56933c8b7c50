"""Where a line of a deck leads: prefixes by its digits, or a country by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import phonenumbers

from policy.destination import WORLD, NumberClass, find_destination
from policy.facts import Catalogue
from server.facts.decks.values import CellWrong, read_prefixes

# A prefix or a country's code, and the class of a country's row; as a table of rates has them.
Target = tuple[str, str]

_ALSO: Final = {
    "usa": "US",
    "us": "US",
    "united states of america": "US",
    "america": "US",
    "uk": "GB",
    "great britain": "GB",
    "england": "GB",
    "uae": "AE",
    "emirates": "AE",
    "russia": "RU",
    "russian federation": "RU",
    "south korea": "KR",
    "korea south": "KR",
    "north korea": "KP",
    "iran": "IR",
    "syria": "SY",
    "laos": "LA",
    "vietnam": "VN",
    "czech republic": "CZ",
    "czechia": "CZ",
    "ivory coast": "CI",
    "cape verde": "CV",
    "macedonia": "MK",
    "swaziland": "SZ",
    "burma": "MM",
    "holland": "NL",
    "turkey": "TR",
    "bolivia": "BO",
    "venezuela": "VE",
    "tanzania": "TZ",
    "moldova": "MD",
    "taiwan": "TW",
    "brunei": "BN",
    "micronesia": "FM",
    "palestine": "PS",
    "vatican": "VA",
    "kosovo": "XK",
}
_MOBILE = re.compile(r"\b(mobile|mobil|cellular|cell|gsm|mob)\b", re.IGNORECASE)
_FIXED = re.compile(r"\b(fixed|landline|proper|fix|all|other|geographic)\b", re.IGNORECASE)
_SIGNS = re.compile(r"[^\w]+")
_CLASSES = frozenset({"", *(each.value for each in NumberClass)})
_SHOWN = 3


class Places:
    """Finds targets by the cells of a line."""

    def __init__(self, catalogue: Catalogue, countries: Mapping[str, str]) -> None:
        self._catalogue = catalogue
        self._by_name = {_plain(name): code for code, name in countries.items()}
        self._by_name |= {code.casefold(): code for code in countries}
        self._by_name |= {name: code for name, code in _ALSO.items() if code in countries}
        self._countries: dict[str, list[str]] = {}
        for prefix, each in catalogue.destinations.items():
            if each.number_class is NumberClass.ORDINARY and prefix.isdecimal():
                self._countries.setdefault(each.country, []).append(prefix)
        self._spread: dict[tuple[str, str], list[str]] = {}
        self._begun = {
            prefix[:end] for prefix in catalogue.destinations for end in range(1, len(prefix))
        }

    def targets_of(self, cells: Mapping[str, str]) -> tuple[list[Target], str]:
        """List where a line leads, and what is worth telling of it. Raises `CellWrong`."""
        code = cells.get("country_code", "")
        if code.isalpha():
            # Some decks call "GB" a country's code.
            cells = {**cells, "country": cells.get("country") or code, "country_code": ""}
        number_class = cells.get("number_class", "")
        if number_class not in _CLASSES:
            raise CellWrong(f"is of class {number_class!r}; there are {', '.join(NumberClass)}")
        prefixes, text = self._prefixes(cells)
        if not prefixes:
            return self._by_country(cells, number_class), ""
        if number_class:
            raise CellWrong(f"{prefixes[0]} is a prefix; leave number_class empty")
        found: list[str] = []
        remarks: list[str] = []
        for prefix in prefixes:
            found += self._led(prefix, cells, remarks)
        if len(found) > 1 and not remarks:
            remarks.append(f"{text}: {len(found)} prefixes, {_shown(found)}")
        return [(prefix, "") for prefix in dict.fromkeys(found)], "; ".join(remarks)

    def _prefixes(self, cells: Mapping[str, str]) -> tuple[list[str], str]:
        text = cells.get("prefix", "")
        if any(character.isdigit() for character in text):
            return read_prefixes(text), text
        areas, code = cells.get("area_codes", ""), cells.get("country_code", "")
        if not (areas or code):
            return [], ""
        if not code:
            code = self._country_code(cells)
        codes = read_prefixes(code)
        if len(codes) != 1:
            raise CellWrong(f"has the country code {code!r}; give one, such as 44")
        if not any(character.isdigit() for character in areas):
            return codes, code
        return read_prefixes(areas, codes[0]), areas

    def _country_code(self, cells: Mapping[str, str]) -> str:
        country = self._country(cells)
        if country is None:
            named = cells.get("country") or cells.get("name") or "nothing"
            raise CellWrong(f"needs a country code; {named!r} is no country of countries.csv")
        return str(phonenumbers.country_code_for_region(country))

    def _led(self, prefix: str, cells: Mapping[str, str], remarks: list[str]) -> list[str]:
        """Give a prefix, or those of its country where it leads to many, as 1 does."""
        catalogue = self._catalogue
        leads_to = find_destination(catalogue.destinations, catalogue.longest_prefix, f"+{prefix}")
        if leads_to is not None:
            return [prefix]
        if prefix not in self._begun:
            remarks.append(f"{prefix} leads nowhere, so it prices nothing")
            return [prefix]
        country = self._country(cells)
        if country is None:
            raise CellWrong(f"{prefix} leads to several countries; name one in a column")
        key = prefix, country
        if key not in self._spread:
            own = self._countries.get(country, ())
            self._spread[key] = [each for each in own if each.startswith(prefix)]
        found = self._spread[key]
        if not found:
            raise CellWrong(f"{prefix} does not lead to {country}")
        remarks.append(f"{prefix}: the {len(found)} area codes of {country}")
        return found

    def _by_country(self, cells: Mapping[str, str], number_class: str) -> list[Target]:
        country = self._country(cells)
        if country is None:
            text = cells.get("prefix") or cells.get("country") or cells.get("name") or ""
            close = get_close_matches(_plain(text), self._by_name, n=1)
            hint = f"did you mean {close[0].title()!r}?" if close else "give its prefix"
            raise CellWrong(f"is {text!r}, no country of countries.csv; {hint}")
        if not number_class and any(_MOBILE.search(text) for text in cells.values()):
            number_class = NumberClass.MOBILE.value
        return [(country, number_class)]

    def _country(self, cells: Mapping[str, str]) -> str | None:
        for text in (cells.get(name, "") for name in ("country", "prefix", "name")):
            plain = _plain(_FIXED.sub("", _MOBILE.sub("", text)))
            whole = self._by_name.get(plain)
            # "United Kingdom - London": the longest beginning that is a country's name.
            words = plain.split()
            found = whole or next(
                (
                    self._by_name[name]
                    for end in range(len(words) - 1, 0, -1)
                    if (name := " ".join(words[:end])) in self._by_name and len(name) > len("xx")
                ),
                None,
            )
            if found and found != WORLD:
                return found
        return None


def _plain(text: str) -> str:
    return _SIGNS.sub(" ", text).strip().casefold()


def _shown(found: list[str]) -> str:
    shown = ", ".join(found[:_SHOWN])
    return f"{shown}, ..." if len(found) > _SHOWN else shown
