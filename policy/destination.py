"""Where a number leads: country, area, class; found by the longest prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

# The "country" of numbers that belong to none: North American toll-free, satellite, networks.
WORLD: Final = "001"


class NumberClass(StrEnum):
    """What kind of number it is, as far as the money is concerned."""

    ORDINARY = "ordinary"
    MOBILE = "mobile"
    TOLL_FREE = "toll_free"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    # Satellite, maritime, international networks: on no list, credits at best.
    GLOBAL_NETWORK = "global_network"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a number leads. `country` is ISO alpha-2, or `WORLD`.

    `sized` is what of its numbers leads elsewhere by its length alone: how many digits the whole
    number has, what it begins with, and where it leads. The prefix of such a one is `sized_prefix`.
    """

    prefix: str
    country: str
    number_class: NumberClass
    label: str
    sized: tuple[tuple[int, str, Destination], ...] = ()


def sized_prefix(prefix: str, length: int) -> str:
    """Name the numbers of a prefix that have so many digits; with 0 the prefix alone."""
    return f"{prefix}/{length}" if length else prefix


def find_destination(
    destinations: Mapping[str, Destination], longest_prefix: int, e164: str
) -> Destination | None:
    """Find where an E.164 number leads by the longest of its prefixes; None if none is known.

    `destinations` is keyed by digits without "+", none longer than `longest_prefix`, which alone
    bounds the cost: one look-up for each length, however many prefixes there are.
    """
    # The country code decides only where no area code does: +1 876 is Jamaica, +39 06 698 the
    # Vatican. So the longest is tried first.
    prefix = e164[1 : longest_prefix + 1]
    look_up = destinations.get
    while prefix:
        destination = look_up(prefix)
        if destination is not None:
            return _by_length(destination, e164) if destination.sized else destination
        prefix = prefix[:-1]
    return None


def _by_length(destination: Destination, e164: str) -> Destination:
    for length, prefix, leads_to in destination.sized:
        if len(e164) == length + 1 and e164.startswith(prefix, 1):
            return leads_to
    return destination


def with_sized(destinations: dict[str, Destination], sized: Mapping[str, Destination]) -> None:
    """Add destinations that a length tells, by their `sized_prefix`; the longest counts first."""
    for key in sorted(sized, key=len):
        prefix, _, length = key.partition("/")
        entry = (int(length), prefix, sized[key])
        around = {one for one in destinations if one.startswith(prefix)}
        shorter = (prefix[:end] for end in range(len(prefix), 0, -1))
        around |= {
            next((one for one in shorter if one in destinations), prefix)
        } & destinations.keys()
        for one in around:
            found = destinations[one]
            destinations[one] = replace(found, sized=(entry, *found.sized))
    destinations.update(sized)


# Puerto Rico is part of the United States; the number plan and ISO list it apart.
_PART_OF: Final = {"PR": "US"}
# Between these every call is domestic to an allowance, though not to a restriction.
_ALLOWANCE_AREA: Final = frozenset({"US", "PR", "CA"})


def is_same_country(there: str, here: str) -> bool:
    """Domestic to a restriction: one country, whatever the country code says."""
    return there == here or _PART_OF.get(there, there) == _PART_OF.get(here, here)


def is_domestic(there: str, here: str) -> bool:
    """Domestic to an allowance: one country, or within the US, Puerto Rico and Canada."""
    return there == here or (there in _ALLOWANCE_AREA and here in _ALLOWANCE_AREA)


def is_own_number(destination: Destination, here: str) -> bool:
    """Tell whether a premium number belongs to the market of a country.

    The US, Puerto Rico and Canada dial one range of them (+1 900), which has no country.
    """
    if is_domestic(destination.country, here):
        return True
    nobodys = destination.country == WORLD and destination.prefix.startswith(NANP_CODE)
    return nobodys and here in _ALLOWANCE_AREA


# Country code 1 is one numbering plan of many countries, and its toll-free numbers are of none.
NANP_CODE: Final = "1"
NANP_COUNTRIES: Final = frozenset(COUNTRY_CODE_TO_REGION_CODE[1])


def is_reachable(
    reach: Mapping[str, frozenset[str]], number_country: str, origin_country: str
) -> bool:
    """Tell whether a toll-free number of one country can be called from another.

    It works inside its own country, in the territories that `reach` adds to it (the catalogue's
    `toll_free_reach`), and, if it is North American, from every country of that plan; what such a
    call costs, the origin decides. A number of no country (`WORLD`) is reached from nowhere:
    universal freephone numbers are not offered. Both arguments are known countries, ISO alpha-2;
    for an unknown origin the question cannot be asked.
    """
    if number_country in NANP_COUNTRIES:
        return origin_country in NANP_COUNTRIES
    if origin_country == number_country:
        return number_country != WORLD
    return origin_country in reach.get(number_country, frozenset())


def is_destination_reachable(
    reach: Mapping[str, frozenset[str]], destination: Destination, origin_country: str
) -> bool:
    """Tell whether a toll-free destination can be dialled out to from a country.

    As `is_reachable`, except that the digits say what is North American, not the country: +1 800
    has none, and must not pass for a number of the United States.
    """
    if destination.prefix.startswith(NANP_CODE):
        return origin_country in NANP_COUNTRIES
    return is_reachable(reach, destination.country, origin_country)
