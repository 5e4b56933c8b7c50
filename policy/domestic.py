"""Two notions of "domestic": of a restriction (one country) and of an allowance (US and Canada)."""

from __future__ import annotations

from typing import Final

from policy.destination import WORLD, Destination
from policy.reach import NANP_CODE

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
