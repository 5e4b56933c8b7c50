"""From where a toll-free number can be called at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from policy.destination import WORLD, Destination

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
