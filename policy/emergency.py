"""Emergency numbers: matched first, exactly, by the place the caller is in, and never refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from phonenumbers.shortnumberinfo import is_emergency_number

from policy.decision import EmergencyGrant
from policy.emergency_spelling import (
    LONGEST_EMERGENCY_NUMBER,
    NUMBER_ANYWHERE,
    main_number,
    read_emergency,
)
from policy.facts import EmergencyNumbers
from policy.spelling import is_digits

# The service that RFC 5031 names, as a key of the dial masks; sub-services follow a point.
SOS: Final = "sos"
_SERVICE: Final = re.compile(r"sos(\.[a-z0-9-]+)*")


class InvalidEmergencyNumbers(ValueError):
    """A row of the table of emergency numbers that could not do its duty."""


def match_emergency(
    dialled: str, locations: tuple[str, ...], emergency: Mapping[str, EmergencyNumbers]
) -> EmergencyGrant | None:
    """Grant a dialled emergency number of any of the caller's locations, the earlier one first.

    The whole of the digits must match, never a prefix: 9112025551234 is no emergency, but a free
    call to anywhere for who knows the trick. How they are spelled does not matter, since no other
    number is spelled so and `dial_as` says what to route. The name "sos" (RFC 5031) is an emergency
    wherever it comes from. Never raises, whatever was dialled.
    """
    if is_beyond_emergency(dialled):
        return None
    wanted = read_emergency(dialled)
    if not wanted:
        return None
    if not wanted.isdecimal():
        return _match_service(wanted, locations, emergency)
    for location in locations:
        grant = _match_at(wanted, location, emergency)
        if grant is not None:
            return grant
    return None


def is_beyond_emergency(dialled: str) -> bool:
    """Tell digits, behind a "+" or not, that are too many for any emergency number.

    Told without a location and at once; False says nothing.
    """
    digits = dialled.removeprefix("+")
    return len(digits) > LONGEST_EMERGENCY_NUMBER and is_digits(digits)


def name_services(numbers: Sequence[str], masks: Mapping[str, str]) -> dict[str, str]:
    """Add to the dial masks of a country what "sos" is routed as, if they do not say so."""
    if SOS in masks or not numbers:
        return dict(masks)
    return {**masks, SOS: main_number(numbers) or numbers[0]}


def _match_service(
    service: str, locations: tuple[str, ...], emergency: Mapping[str, EmergencyNumbers]
) -> EmergencyGrant:
    """Route a service by its own row, else by that of the service it belongs to."""
    for location in locations:
        row = _row(location, emergency)
        name = service if row is not None else ""
        while row is not None and name:
            if name in row.dial_masks:
                return EmergencyGrant(row.dial_masks[name], row.country)
            name = name.rpartition(".")[0]
    return EmergencyGrant(NUMBER_ANYWHERE, "")


def _row(location: str, emergency: Mapping[str, EmergencyNumbers]) -> EmergencyNumbers | None:
    return emergency.get(location) or emergency.get(location.strip().upper())


def _match_at(
    digits: str, location: str, emergency: Mapping[str, EmergencyNumbers]
) -> EmergencyGrant | None:
    """Match the numbers of one country, then its dial masks.

    A country without numbers in the table is asked of the number-metadata library, to err on the
    safe side. Where the table has some the library is not asked, for it knows others than the
    caller's network does: 112 in the United States is no emergency number of ours.
    """
    row = _row(location, emergency)
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
        if digits not in row.numbers and _SERVICE.fullmatch(digits):
            continue
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
