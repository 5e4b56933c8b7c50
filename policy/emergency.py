"""Emergency numbers: matched first, exactly, by the place the caller is in, and never refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from phonenumbers.shortnumberinfo import is_emergency_number

from policy.decision import EmergencyGrant
from policy.facts import EmergencyNumbers
from policy.spelling import LONGEST_SPELLING, is_digits, strip_separators

# Checked where the table is loaded, so that nothing listed can be too long to match.
LONGEST_EMERGENCY_NUMBER: Final = 8


class InvalidEmergencyNumbers(ValueError):
    """A row of the table of emergency numbers that could not do its duty."""


def match_emergency(
    dialled: str, locations: tuple[str, ...], emergency: Mapping[str, EmergencyNumbers]
) -> EmergencyGrant | None:
    """Grant a dialled emergency number of any of the caller's locations, the earlier one first.

    The whole of the digits must match, never a prefix: 9112025551234 is no emergency, but a free
    call to anywhere for who knows the trick. Separators, "tel:", a "+" in front and digits of
    other scripts are read past, since no other number is spelled so and `dial_as` says what to
    route. Never raises, whatever was dialled.
    """
    digits = _read_digits(dialled)
    if not digits:
        return None
    for location in locations:
        grant = _match_at(digits, location, emergency)
        if grant is not None:
            return grant
    return None


def is_beyond_emergency(dialled: str) -> bool:
    """Tell digits, behind a "+" or not, that are too many for any emergency number.

    Told without a location and at once; False says nothing.
    """
    digits = dialled.removeprefix("+")
    return len(digits) > LONGEST_EMERGENCY_NUMBER and is_digits(digits)


def _read_digits(dialled: str) -> str:
    """Read the digits of what was dialled; nothing if it holds anything else or far too many."""
    if len(dialled) > LONGEST_SPELLING:
        return ""
    digits = dialled.removeprefix("+")
    if not is_digits(digits):
        text = strip_separators(dialled.strip()).removeprefix("+").partition(";")[0]
        if not text.isdecimal() or len(text) > LONGEST_EMERGENCY_NUMBER:
            return ""
        digits = "".join(str(unicodedata.decimal(digit)) for digit in text)
    return digits if len(digits) <= LONGEST_EMERGENCY_NUMBER else ""


def _match_at(
    digits: str, location: str, emergency: Mapping[str, EmergencyNumbers]
) -> EmergencyGrant | None:
    """Match the numbers of one country, then its dial masks.

    A country without numbers in the table is asked of the number-metadata library, to err on the
    safe side. Where the table has some the library is not asked, for it knows others than the
    caller's network does: 112 in the United States is no emergency number of ours.
    """
    row = emergency.get(location) or emergency.get(location.strip().upper())
    if row is not None and row.numbers:
        dial_as = digits if digits in row.numbers else row.dial_masks.get(digits)
        return EmergencyGrant(dial_as, row.country) if dial_as else None
    country = location.strip().upper()
    return EmergencyGrant(digits, country) if is_emergency_number(digits, country) else None


def check_emergency_numbers(row: EmergencyNumbers) -> None:
    """Check that each number and mask of a country is one that can match, and leads somewhere.

    Raises InvalidEmergencyNumbers, which names what is wrong.
    """
    for digits in (*row.numbers, *row.dial_masks):
        if not is_digits(digits) or len(digits) > LONGEST_EMERGENCY_NUMBER:
            raise InvalidEmergencyNumbers(
                f"{row.country}: {digits!r} is not 1 to {LONGEST_EMERGENCY_NUMBER} digits"
            )
    for mask, number in row.dial_masks.items():
        if number not in row.numbers:
            raise InvalidEmergencyNumbers(
                f"{row.country}: mask {mask} leads to {number}, no number"
            )
        if mask in row.numbers:
            raise InvalidEmergencyNumbers(f"{row.country}: {mask} is both a number and a mask")
