"""Make data/catalogue/prefixes.csv from the metadata of the phonenumbers library.

    python data/tools/make_prefixes.py > data/catalogue/prefixes.csv

The same library version makes the same file. A prefix is written where country or class differs
from that of its longest shorter prefix, so the table says exactly where a border runs.
"""

from __future__ import annotations

import csv
import functools
import re._constants as sre
import re._parser as sre_parser
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata


class Leads(NamedTuple):
    """Where a number leads."""

    country: str
    number_class: str


# Beyond this many digits after the country code two regions are told apart no further.
MAX_DEPTH = 7
# Mobile ranges are split from geographic ones this deep only; deeper they are no clean prefix.
MAX_MOBILE_DEPTH = 4
NANP = 1
NANP_AREA_CODE_DIGITS = 3
NO_COUNTRY = "001"
CLASS_OF_PATTERN = (
    ("toll_free", "toll_free"),
    ("premium_rate", "premium"),
    ("shared_cost", "shared_cost"),
    ("mobile", "mobile"),
    ("fixed_line", "ordinary"),
    ("voip", "ordinary"),
    ("pager", "mobile"),
    ("uan", "uan"),
    ("personal_number", "personal"),
)
# Networks of no country; 991 is not in the metadata. What is not named here is a global network.
GLOBAL_CLASS = {800: "toll_free", 808: "shared_cost", 979: "premium"}
GLOBAL_NAME = {
    800: "International freephone",
    808: "International shared cost",
    870: "Inmarsat",
    878: "Universal personal numbers",
    881: "Satellite networks",
    882: "International networks",
    883: "International networks",
    888: "Disaster relief",
    979: "International premium rate",
    991: "Trial of international services",
}
# Ranges that every country of +1 shares and so none has.
SHARED_IN_NANP = {"toll_free": "toll_free", "personal": "global_network"}
SOURCE = Path(__file__).parent / "prefixes_source.csv"
# Numbers for companies cost the caller more than a place does, unless they begin so: reached at the
# price of a place, by the plans' documents. In +1 the area code decides.
ORDINARY_UAN = tuple(
    str(code) for code in (1, 32, 34, 358, 36, 3114, 3188, 40, 41, 420, 421, 443, 4455, 46, 47, 598)
)
# Classes that a length may tell where a prefix cannot, from those that a prefix stands for.
TOLD_BY_LENGTH = frozenset({"toll_free", "premium", "shared_cost", "uan", "personal"})
MAX_SIZED_DEPTH = 4
CLASS_LABEL = {
    "global_network": ", personal numbers",
    "ordinary": "",
    "mobile": ", mobile",
    "toll_free": ", toll-free",
    "premium": ", premium rate",
    "shared_cost": ", shared cost",
}
DIGITS = "0123456789"


# --- What a pattern of the metadata still allows after a digit -----------------------------------
#
# A pattern is the number of a cell: an element and the pattern that follows it. Equal patterns have
# equal numbers, so that comparing and remembering them costs nothing.

END = 0
_cells: list[tuple[Any, ...]] = [()]
_numbers: dict[tuple[Any, ...], int] = {}


def cell(element: tuple[Any, ...], rest: int) -> int:
    """Number the pattern that begins with `element` and goes on with `rest`."""
    key = (element, rest)
    if key not in _numbers:
        _numbers[key] = len(_cells)
        _cells.append(key)
    return _numbers[key]


@functools.cache
def joined(pattern: int, rest: int) -> int:
    """Number the pattern that is `pattern`, then `rest`."""
    if pattern == END:
        return rest
    element, then = _cells[pattern]
    return cell(element, joined(then, rest))


def parse_pattern(pattern: str) -> int:
    """Turn a regular expression over digits into a pattern that `after_digit` can walk."""
    return _sequence(sre_parser.parse(pattern))


def _sequence(parsed: Any) -> int:
    pattern = END
    for code, argument in reversed(list(parsed)):
        pattern = cell(_element(code, argument), pattern)
    return pattern


def _element(code: Any, argument: Any) -> tuple[Any, ...]:
    if code is sre.LITERAL:
        return ("digits", chr(argument))
    if code is sre.IN:
        return ("digits", "".join(d for d in DIGITS if any(_holds(d, item) for item in argument)))
    if code is sre.BRANCH:
        return ("either", tuple(_sequence(branch) for branch in argument[1]))
    if code is sre.SUBPATTERN:
        return ("either", (_sequence(argument[3]),))
    if code is sre.MAX_REPEAT:
        return ("repeat", argument[0], argument[1], _sequence(argument[2]))
    raise ValueError(f"the metadata uses a construct this script does not know: {code}")


def _holds(digit: str, item: tuple[Any, Any]) -> bool:
    code, argument = item
    if code is sre.LITERAL:
        return ord(digit) == argument
    if code is sre.RANGE:
        return argument[0] <= ord(digit) <= argument[1]
    return code is sre.CATEGORY  # Only \d is used.


@functools.cache
def after_digit(pattern: int, digit: str) -> frozenset[int]:
    """Say what may follow once `digit` has been read; empty where the pattern forbids it."""
    if pattern == END:
        return frozenset()
    (kind, *arguments), rest = _cells[pattern]
    if kind == "digits":
        return frozenset((rest,)) if digit in arguments[0] else frozenset()
    if kind == "either":
        branches = (joined(branch, rest) for branch in arguments[0])
        return frozenset().union(*(after_digit(branch, digit) for branch in branches))
    least, most, body = arguments
    if most == 0:
        return after_digit(rest, digit)
    again = cell(("repeat", max(least - 1, 0), most - 1, body), rest)
    found = after_digit(joined(body, again), digit)
    return found if least > 0 else found | after_digit(rest, digit)


# --- One country code --------------------------------------------------------------------------

Live = dict[Leads, frozenset[int]]


def patterns_of(region: str) -> Live:
    """Collect what the numbers of a region look like, by class."""
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    live: Live = {}
    for name, number_class in CLASS_OF_PATTERN:
        described = getattr(metadata, name)
        if described is None or not described.national_number_pattern:
            continue
        leads = Leads(region, number_class)
        pattern = parse_pattern(described.national_number_pattern)
        live[leads] = live.get(leads, frozenset()) | {pattern}
    return live


def told_apart(live: Live, main: str) -> Live:
    """Leave out of the small regions what looks exactly like the main region's own numbers."""
    own = {leads.number_class: found for leads, found in live.items() if leads.country == main}
    return {
        leads: patterns
        for leads, patterns in live.items()
        if leads.country == main or patterns != own.get(leads.number_class)
    }


def narrowed(live: Live, main: str) -> set[Leads]:
    """Leave out special classes of the small regions where the main region has the same range."""
    own = {leads.number_class for leads in live if leads.country == main}
    special = own - {"ordinary", "mobile"}
    return {leads for leads in live if leads.country == main or leads.number_class not in special}


def settled(leads: set[Leads], *, main: str, depth: int) -> Leads | None:
    """Say where a prefix leads if that is certain, or as good as it gets at this depth."""
    if len(leads) == 1:
        return next(iter(leads))
    countries = {each.country for each in leads}
    classes = {each.number_class for each in leads}
    mobile_depth = NANP_AREA_CODE_DIGITS if main == "US" else MAX_MOBILE_DEPTH
    if len(countries) == 1 and classes == {"ordinary", "mobile"} and depth >= mobile_depth:
        return Leads(countries.pop(), "ordinary")
    if depth < MAX_DEPTH:
        return None
    country = main if main in countries else min(countries)
    own = {each.number_class for each in leads if each.country == country}
    return Leads(country, "ordinary" if "ordinary" in own else min(own))


def borders(
    prefix: str, live: Live, *, main: str, depth: int, least_depth: int
) -> dict[str, Leads]:
    """Find the prefixes from here down, as few as say the same."""
    live = told_apart(live, main)
    found = settled(narrowed(live, main), main=main, depth=depth)
    if found is not None and depth >= least_depth:
        return {prefix: found}
    below: dict[str, Leads] = {}
    for digit in DIGITS:
        then: Live = {}
        for leads, patterns in live.items():
            follow = frozenset().union(*(after_digit(pattern, digit) for pattern in patterns))
            if follow:
                then[leads] = follow
        if then:
            below |= borders(
                prefix + digit, then, main=main, depth=depth + 1, least_depth=least_depth
            )
    if depth >= least_depth and len(set(below.values())) == 1:
        return {prefix: next(iter(below.values()))}
    countries = {leads.country for leads in below.values()}
    if depth == least_depth and len(countries) == 1:
        # What is not assigned yet will belong to the same country.
        return {prefix: Leads(countries.pop(), "ordinary")} | below
    return below


def corrected(prefix: str, leads: Leads) -> Leads:
    """Mend where the metadata knows less than the plans' documents."""
    if prefix.startswith(("4484", "4487")):
        return Leads(leads.country, "shared_cost")
    if prefix.startswith(str(NANP)) and leads.number_class in SHARED_IN_NANP:
        return Leads(NO_COUNTRY, SHARED_IN_NANP[leads.number_class])
    if leads.number_class == "personal":
        return Leads(leads.country, "premium")
    if leads.number_class == "uan":
        number_class = "ordinary" if prefix.startswith(ORDINARY_UAN) else "shared_cost"
        return Leads(leads.country, number_class)
    return leads


# --- What only a length tells ------------------------------------------------------------------


@functools.cache
def lengths(pattern: int) -> frozenset[int]:
    """Say how many digits may follow."""
    if pattern == END:
        return frozenset((0,))
    (kind, *arguments), rest = _cells[pattern]
    if kind == "digits":
        here = frozenset((1,))
    elif kind == "either":
        here = frozenset().union(*(lengths(branch) for branch in arguments[0]))
    else:
        least, most, body = arguments
        once, here, all_of = lengths(body), frozenset(), frozenset((0,))
        for count in range(most + 1):
            here |= all_of if count >= least else frozenset()
            all_of = frozenset(one + more for one in all_of for more in once)
    return frozenset(one + more for one in here for more in lengths(rest))


def sized(prefix: str, live: Live, *, depth: int) -> Iterator[tuple[str, Leads, int]]:
    """Yield what a length tells of numbers of a class that begin as ordinary ones do.

    That is their prefix, where it leads, and how many digits the whole number has.
    """
    found = {leads: _lengths(patterns) for leads, patterns in live.items()}
    special = {leads for leads in found if leads.number_class in TOLD_BY_LENGTH}
    if not special or special == found.keys() or depth > MAX_SIZED_DEPTH:
        return
    rest = dict(live)
    for leads in special if depth else ():
        others = [found[other] for other in found if other != leads]
        if found[leads].isdisjoint(frozenset().union(*others)):
            yield from ((prefix, leads, len(prefix) + more) for more in sorted(found[leads]))
            del rest[leads]
    for digit in DIGITS:
        then = {leads: _after(patterns, digit) for leads, patterns in rest.items()}
        left = {leads: patterns for leads, patterns in then.items() if patterns}
        yield from sized(prefix + digit, left, depth=depth + 1)


def _lengths(patterns: frozenset[int]) -> frozenset[int]:
    return frozenset().union(*(lengths(pattern) for pattern in patterns))


def _after(patterns: frozenset[int], digit: str) -> frozenset[int]:
    return frozenset().union(*(after_digit(pattern, digit) for pattern in patterns))


def sized_rows(code: int) -> Iterator[tuple[str, Leads, int]]:
    """Yield what of one country code only a length tells, in order."""
    if code == NANP:
        return
    region = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
    for prefix, leads, length in sorted(sized(str(code), patterns_of(region), depth=0)):
        leads_to = corrected(prefix, leads)
        if leads_to.number_class != "ordinary":
            yield prefix, leads_to, length


@functools.cache
def read_source() -> dict[str, Leads]:
    """Read our own table beside this script."""
    lines = [line for line in SOURCE.read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = csv.DictReader(lines)
    return {row["prefix"]: Leads(row["country"], row["number_class"]) for row in rows}


def also_known(code: str) -> dict[str, Leads]:
    """Say what we know beside the metadata behind a country code."""
    return {prefix: leads for prefix, leads in read_source().items() if prefix.startswith(code)}


def rows_of_code(code: int) -> Iterator[tuple[str, Leads]]:
    """Yield the rows of one country code, in the order of their prefixes."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    main, root = regions[0], str(code)
    live: Live = {}
    for region in regions:
        live |= patterns_of(region)
    # In +1 the area code decides, and an area code nobody has leads nowhere.
    known = {} if code == NANP else {root: Leads(main, "ordinary")}
    least_depth = NANP_AREA_CODE_DIGITS if code == NANP else 1
    known |= borders(root, live, main=main, depth=0, least_depth=least_depth)
    known |= also_known(root)
    known = {prefix: corrected(prefix, leads) for prefix, leads in known.items()}
    for prefix in sorted(known):
        shorter = next(
            (known[prefix[:n]] for n in range(len(prefix) - 1, 0, -1) if prefix[:n] in known), None
        )
        if shorter != known[prefix]:
            yield prefix, known[prefix]


def all_rows(names: dict[str, str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield prefix, country, class, label and length for every number on earth."""
    for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        if code in GLOBAL_NAME:
            continue
        for prefix, leads in rows_of_code(code):
            name = "North America" if leads.country == NO_COUNTRY else names[leads.country]
            yield prefix, *leads, name + CLASS_LABEL[leads.number_class], ""
        for prefix, leads, length in sized_rows(code):
            label = names[leads.country] + CLASS_LABEL[leads.number_class]
            yield prefix, *leads, label, str(length)
    for code, name in GLOBAL_NAME.items():
        yield str(code), NO_COUNTRY, GLOBAL_CLASS.get(code, "global_network"), name, ""


def country_names() -> dict[str, str]:
    """Read the names of the countries beside the table that is made."""
    path = Path(__file__).parent.parent / "catalogue" / "countries.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {row["country"]: row["name"] for row in csv.DictReader(lines)}


def main() -> None:
    """Write the table to standard output."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    print("# Where a number leads: its country and class, by the longest prefix that matches.")
    print("# Made by data/tools/make_prefixes.py from the number metadata of phonenumberslite")
    print(f"# {version('phonenumberslite')}; do not edit a row, correct the script.")
    print("# Country 001 belongs to no country: satellites, international networks, +1 toll-free.")
    print("# With a length only the numbers of so many digits are meant. Your own rows go into")
    print("# prefixes_extra.csv.")
    out.writerow(("prefix", "country", "number_class", "label", "length"))
    out.writerows(sorted(all_rows(country_names())))


if __name__ == "__main__":
    main()
