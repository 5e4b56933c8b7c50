"""Where a number leads: country, area, class; found by the longest prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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
    """Where a number leads. `country` is ISO alpha-2, or `WORLD`."""

    prefix: str
    country: str
    number_class: NumberClass
    label: str


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
            return destination
        prefix = prefix[:-1]
    return None
