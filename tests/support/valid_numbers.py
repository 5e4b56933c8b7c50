"""Valid numbers of every territory, made at random from the patterns of the number metadata."""

from __future__ import annotations

import random
import re._constants as sre  # type: ignore[import-not-found] # No stub; of CPython 3.11 on.
import re._parser as sre_parser  # type: ignore[import-not-found] # As above.
from collections.abc import Iterator
from typing import Any

import phonenumbers
from phonenumbers import PhoneMetadata

TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
)
# A country may list an open range; beyond what E.164 allows nobody dials.
_LONGEST_REPEAT = 11


def valid_numbers(chance: random.Random, each: int) -> Iterator[tuple[str, str, str]]:
    """Make up to `each` numbers a territory and type: territory, type, E.164."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        metadata = PhoneMetadata.metadata_for_region(region)
        assert metadata is not None
        for kind in TYPES:
            described = getattr(metadata, kind)
            if described is None or not described.national_number_pattern:
                continue
            parsed = sre_parser.parse(described.national_number_pattern)
            made = {_digits(parsed, chance) for _ in range(each)}
            for national in sorted(made):
                if len(national) in described.possible_length:
                    yield region, kind, f"+{metadata.country_code}{national}"


def _digits(parsed: Any, chance: random.Random) -> str:
    return "".join(_part(code, argument, chance) for code, argument in parsed)


def _part(code: Any, argument: Any, chance: random.Random) -> str:
    if code is sre.LITERAL:
        return chr(argument)
    if code is sre.IN:
        return chance.choice([digit for digit in "0123456789" if _holds(digit, argument)])
    if code is sre.BRANCH:
        return _digits(chance.choice(argument[1]), chance)
    if code is sre.SUBPATTERN:
        return _digits(argument[3], chance)
    least, most, body = argument
    return "".join(
        _digits(body, chance) for _ in range(chance.randint(least, min(most, _LONGEST_REPEAT)))
    )


def _holds(digit: str, items: list[Any]) -> bool:
    return any(
        code is sre.CATEGORY
        or (code is sre.LITERAL and ord(digit) == argument)
        or (code is sre.RANGE and argument[0] <= ord(digit) <= argument[1])
        for code, argument in items
    )
