"""Where a number leads: country, area, class; found by the longest prefix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """Where a number leads. `country` is ISO alpha-2, or "001" for what belongs to no country."""

    prefix: str
    country: str
    number_class: NumberClass
    label: str
