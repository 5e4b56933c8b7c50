"""Short codes of a country: what 411, 116 117 or 3939 costs, and whether it is dialled at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phonenumbers import country_code_for_region

from policy.destination import Destination, NumberClass
from policy.dial_plan import apply_dial_plan
from policy.facts import DialPlanRule, ShortCode, ShortCodeClass, Treatment
from policy.spelling import is_digits, strip_separators

# As long as the longest that any country has.
LONGEST_SHORT_CODE: Final = 6
# With separators between all of its digits.
_LONGEST_SPELLING: Final = 2 * LONGEST_SHORT_CODE
# In a listed code, any digit.
ANY_DIGIT: Final = "x"


def find_short_code(
    short_codes: Mapping[str, ShortCode], dialled: str, dial_plan: tuple[DialPlanRule, ...]
) -> tuple[str, ShortCode] | None:
    """Find what was dialled among a country's codes; what the dial plan rewrites is none.

    Of several that match, the one with the most digits of its own counts.
    """
    if not short_codes or len(dialled) > _LONGEST_SPELLING:
        return None
    digits = strip_separators(dialled)
    if not is_digits(digits) or apply_dial_plan(digits, dial_plan) != digits:
        return None
    for fixed in range(len(digits), -1, -1):
        code = short_codes.get(digits[:fixed] + ANY_DIGIT * (len(digits) - fixed))
        if code is not None:
            return digits, code
    return None


def leads_to(digits: str, code: ShortCode) -> Destination:
    """Say where a code leads: to its own country; under the country code a rate may name it."""
    prefix = f"{country_code_for_region(code.country)}{digits}"
    is_free = code.treatment is ShortCodeClass.FREE
    number_class = NumberClass.TOLL_FREE if is_free else NumberClass.PREMIUM
    return Destination(prefix, code.country, number_class, code.label)


def treatment_of(code: ShortCode) -> Treatment:
    """Say how a code is treated that is not free: by credits, or not at all."""
    is_rated = code.treatment is ShortCodeClass.RATED
    return Treatment.CREDITS_ONLY if is_rated else Treatment.BLOCKED
