"""Reading a dialled number: from any spelling to E.164."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, ValidationResult
from phonenumbers.shortnumberinfo import is_valid_short_number_for_region

from policy.dial_plan import apply_dial_plan
from policy.facts import DialPlanRule
from policy.spelling import LONGEST_SPELLING, is_digits, split_context, strip_separators

# ITU-T E.164: country code and national number together.
LONGEST_E164_DIGITS: Final = 15
LONGEST_SHORT_CODE: Final = 6
# Spellings that took the library's full reading, 40 us each; about 5 MB when full.
SPELLINGS_CACHED: Final = 16_384

_CODE_LENGTHS: Final = (1, 2, 3)
# Shorter is no number of anywhere, with its plus.
_SHORTEST_INTERNATIONAL: Final = 8

# How the world dials out, whatever the country; the country's own prefix is the library's matter.
_INTERNATIONAL_PREFIXES: Final = ("00", "011")


@dataclass(frozen=True, slots=True)
class _CountryCode:
    """How long the numbers behind one country code are, and what may stand wrongly before them.

    That is the trunk prefix of calls within the country: for most no more than some digits, which
    compare faster than a pattern; else `trunk_digits` is empty.
    """

    length: int
    e164_lengths: frozenset[int]
    trunk_digits: str
    trunk_prefix: re.Pattern[str] | None


def read_number(dialled: str, country: str, dial_plan: tuple[DialPlanRule, ...] = ()) -> str | None:
    """Read what a user of a country (ISO alpha-2) dialled, as E.164 with "+"; None if no number.

    A spelling with "+" says itself what it means; all others go through the tenant's dial plan,
    then are read as that country dials. Letters, extensions, short codes and lengths that the
    country does not have are no numbers; that nobody holds a number is not judged here.
    """
    if dialled[:1] == "+" and len(dialled) <= LONGEST_SPELLING:
        digits = dialled[1:]
        if digits.isdecimal() and digits.isascii():
            # The spelling of gateways, and so of nearly every question.
            return _read_international(dialled, digits)
    if not is_digits(dialled):
        dialled, country = _read_signs(dialled, country)
    if len(dialled) > LONGEST_SPELLING:
        return None
    if dial_plan and not dialled.startswith("+"):
        dialled = apply_dial_plan(dialled, dial_plan)
    if dialled.startswith("+"):
        digits = dialled[1:]
        return _read_international(dialled, digits) if is_digits(digits) else None
    return _read_national(dialled, country) if is_digits(dialled) else None


def split_country_code(spelling: str) -> tuple[str, str]:
    """Tell the country code of an international spelling, however wrong the rest, and its country.

    The country is the one that leads the code; both are empty where there is none.
    """
    digits, _ = _read_signs(spelling, "")
    if not digits.startswith("+") or len(digits) < _SHORTEST_INTERNATIONAL:
        return "", ""
    if not is_digits(digits[1:]):
        return "", ""
    for length in _CODE_LENGTHS:
        code = digits[1 : 1 + length]
        countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code))
        if countries:
            return code, countries[0]
    return "", ""


def is_national(dialled: str) -> bool:
    """Tell digits that only a country can say the meaning of; False for far too many of them."""
    digits, _ = _read_signs(dialled, "")
    return is_digits(digits) and len(digits) <= LONGEST_E164_DIGITS


def _read_signs(dialled: str, country: str) -> tuple[str, str]:
    """Read past parameters and separators; a context may say as which country's a number is read.

    What is too long is left as it is.
    """
    if ";" in dialled:
        dialled, context = split_context(dialled)
        country = _country_of_context(context, country)
    return (strip_separators(dialled) if len(dialled) <= LONGEST_SPELLING else dialled), country


def _country_of_context(digits: str, country: str) -> str:
    """Say as which country's a local number is read: by its context, if that is of another one."""
    for length in _CODE_LENGTHS:
        countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length] or 0), ())
        if countries:
            return country if country in countries else countries[0]
    return country


def _read_international(spelling: str, digits: str) -> str | None:
    """Read a country code and the number behind it; `spelling` is the digits behind their "+".

    Most such spellings are E.164 already and need no parsing: the code exists, the length is one
    of its lengths, and no trunk prefix crept in between, as the 0 in +44 (0)20 7946 0000.
    """
    # No country code begins with another one.
    code = _COUNTRY_CODES.get(digits[:2]) or _COUNTRY_CODES.get(digits[:1])
    if code is None:
        code = _COUNTRY_CODES.get(digits[:3])
        if code is None:
            return None
    if code.trunk_digits:
        if digits.startswith(code.trunk_digits, code.length):
            return _read_behind_prefix(digits)
    elif code.trunk_prefix is not None and _matches_behind_code(code.trunk_prefix, digits, code):
        return _read_behind_prefix(digits)
    if len(digits) not in code.e164_lengths:
        return None
    begins_with_zero = digits[code.length] == "0"
    return None if begins_with_zero and _is_zero_too_many(digits, code.length) else spelling


def _matches_behind_code(trunk_prefix: re.Pattern[str], digits: str, code: _CountryCode) -> bool:
    match = trunk_prefix.match(digits, code.length)
    return match is not None and match.end() > code.length


def _is_zero_too_many(digits: str, code_length: int) -> bool:
    """Tell a number that begins with a zero where no number of its country does.

    It is a trunk prefix before too few or too many digits. Left standing it would hide what is
    behind it: +44 0 90... is no ordinary number, for all that no premium prefix matches it.
    """
    if not digits.startswith("0", code_length):
        return False
    return _numbers_of(digits[:code_length]).fullmatch(digits, code_length) is None


@cache
def _numbers_of(country_code: str) -> re.Pattern[str]:
    """Compile what the numbers behind a country code look like; when first asked, for time."""
    code = int(country_code)
    region = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    assert metadata is not None
    assert metadata.general_desc is not None
    return re.compile(metadata.general_desc.national_number_pattern or "")


@lru_cache(maxsize=SPELLINGS_CACHED)
def _read_behind_prefix(digits: str) -> str | None:
    number = _parse_international(digits)
    return None if number is None else _to_e164(number)


def _parse_international(digits: str) -> PhoneNumber | None:
    """Parse digits that begin with a country code; a number that is valid as it stands stays so.

    Belarus dials 8 before its numbers and has some that begin with 8 10: the library alone would
    take that for a prefix, and make of one number another.
    """
    spelled = _as_spelled(digits)
    if spelled is not None and phonenumbers.is_valid_number(spelled) and _is_possible(spelled):
        return spelled
    return _parse("+" + digits, None)


def _as_spelled(digits: str) -> PhoneNumber | None:
    """Split digits behind their country code and nowhere else; None where that is no number."""
    for length in _CODE_LENGTHS:
        if int(digits[:length] or 0) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            code, national = int(digits[:length]), digits[length:]
            break
    else:
        return None
    zeros = min(len(national) - len(national.lstrip("0")), max(len(national) - 1, 0))
    if not national or len(national) > LONGEST_E164_DIGITS:
        return None
    return PhoneNumber(
        country_code=code,
        national_number=int(national),
        italian_leading_zero=True if zeros else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


@lru_cache(maxsize=SPELLINGS_CACHED)
def _read_national(digits: str, country: str) -> str | None:
    """Read digits without "+" as a country dials them, its own international prefix included.

    00 and 011 are tried everywhere, for that is how people dial out who come from elsewhere. What
    they start may be of the country itself as well (011 is Turin): then a number that is known
    to exist counts before one that only might, and the country's own before a foreign one.
    """
    readings = [_parse(digits, country)] + [
        _parse_international(digits.removeprefix(prefix))
        for prefix in _INTERNATIONAL_PREFIXES
        if digits.startswith(prefix)
    ]
    numbers = [number for number in readings if number is not None]
    for number in numbers:
        if phonenumbers.is_valid_number(number):
            return _to_lasting_e164(number)
    if not numbers or _is_short_code(digits, numbers[0], country):
        return None
    return _to_lasting_e164(numbers[0])


def _to_lasting_e164(number: PhoneNumber) -> str | None:
    """Write a number if it is read back as itself; one of Belarus may be taken apart again."""
    e164 = _to_e164(number)
    return e164 if e164 is not None and _read_international(e164, e164[1:]) == e164 else None


def _parse(spelling: str, country: str | None) -> PhoneNumber | None:
    """Parse with the library; None unless the number is long enough to be dialled from anywhere."""
    try:
        number = phonenumbers.parse(spelling, country)
    except NumberParseException:
        return None
    return number if _is_possible(number) else None


def _is_possible(number: PhoneNumber) -> bool:
    """Tell whether a number can be dialled from anywhere, not within its area or country alone."""
    possible = phonenumbers.is_possible_number_with_reason(number)
    return bool(possible == ValidationResult.IS_POSSIBLE)


def _is_short_code(digits: str, number: PhoneNumber, country: str) -> bool:
    """Tell a country's short code, such as 118 33 in Germany, from a short number.

    It only looks like one: behind the country code it leads nowhere, or to something else.
    """
    return (
        len(digits) <= LONGEST_SHORT_CODE
        and digits == phonenumbers.national_significant_number(number)
        and is_valid_short_number_for_region(number, country)
    )


def _to_e164(number: PhoneNumber) -> str | None:
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if len(e164) > LONGEST_E164_DIGITS + 1:
        return None
    return None if _is_zero_too_many(e164[1:], len(str(number.country_code))) else e164


def _load_country_codes() -> dict[str, _CountryCode]:
    """Load what the library knows of each country code, of the country that leads it."""
    codes = {}
    for code, countries in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, countries[0])
        assert metadata is not None, code
        assert metadata.general_desc is not None, code
        prefix = metadata.national_prefix_for_parsing or ""
        digits = str(code)
        lengths = (len(digits) + length for length in metadata.general_desc.possible_length)
        codes[digits] = _CountryCode(
            len(digits),
            frozenset(length for length in lengths if length <= LONGEST_E164_DIGITS),
            prefix if is_digits(prefix) else "",
            re.compile(prefix) if prefix else None,
        )
    return codes


_COUNTRY_CODES: Final = _load_country_codes()
