"""What people and machines write for an emergency: digits in any spelling, and the name "sos".

Engine, client and proxy read by this one text, so it leans on the standard library alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

# Longer than any URI that a phone sends; what is longer is not looked at.
LONGEST_EMERGENCY_SPELLING: Final = 1_024
# Checked where the table is loaded, so that nothing listed can be too long to match.
LONGEST_EMERGENCY_NUMBER: Final = 8
# What "sos" is routed as where a country says nothing else: the first of these that it has.
MAIN_NUMBERS: Final = ("112", "911", "999", "000", "111", "119", "110")
# Where the place is not known: every GSM network takes it for an emergency.
NUMBER_ANYWHERE: Final = "112"
# An escape may have been escaped again on its way, by a gateway or two.
_MOST_ESCAPED: Final = 3

_SCHEME: Final = re.compile(r"(?:sips?|tel):(?://)?", re.IGNORECASE)
# RFC 5031, and NENA's form of it: what follows "sos" is a sub-service, or nothing that counts.
_SOS: Final = re.compile(
    r"(?:sips?:|tel:)?urn:(?:[a-z]+:)?service:(sos(?:\.[a-z0-9-]+)*)(?![a-z0-9-])", re.IGNORECASE
)
# Of a URI, what is behind its user part: parameters, headers, a password, the host.
_BEHIND_USER: Final = re.compile(r"[;?@:]")
_KEPT_SIGNS: Final = frozenset("+*#")
# Separators, other signs of punctuation, marks that combine, what is invisible.
_READ_PAST: Final = frozenset("ZCPM")
_MORE_READ_PAST: Final = frozenset("\N{MINUS SIGN}\N{REPLACEMENT CHARACTER}|~")
_ENDS: Final = "#*"


def read_emergency(dialled: str) -> str:
    """Read digits in ASCII, or the service a URN names, as "sos.police"; "" for anything else.

    Read generously, for an emergency that is not understood costs more than a call let through:
    escapes, schemes, hosts, parameters, brackets, a "+" in front, "#" behind, broken bytes and all
    that separates. Only digits beyond the longest emergency number make it none.
    """
    if len(dialled) > LONGEST_EMERGENCY_SPELLING:
        return ""
    if dialled.isdecimal() and dialled.isascii():
        return dialled if len(dialled) <= LONGEST_EMERGENCY_NUMBER else ""
    text = _unescape(dialled)
    if "<" in text:
        text = text.partition("<")[2].partition(">")[0]
    text = "".join(sign for sign in text if unicodedata.category(sign)[0] not in "ZC")
    named = _SOS.match(text)
    if named is not None:
        return named[1].lower()
    scheme = _SCHEME.match(text)
    if scheme is not None:
        text = text[scheme.end() :]
    return _read_digits(_BEHIND_USER.split(text, maxsplit=1)[0])


def main_number(numbers: Collection[str]) -> str:
    """Choose of a country's numbers what a service is routed as; "" where none is general."""
    return next((number for number in MAIN_NUMBERS if number in numbers), "")


def _unescape(text: str) -> str:
    for _ in range(_MOST_ESCAPED):
        if "%" not in text:
            break
        text = unquote(text)
    return text


def _read_digits(text: str) -> str:
    signs = [sign for sign in text if not _is_read_past(sign)]
    digits = "".join(signs).lstrip("+").rstrip(_ENDS)
    if not digits.isdecimal() or len(digits) > LONGEST_EMERGENCY_NUMBER:
        return ""
    return "".join(str(unicodedata.decimal(digit)) for digit in digits)


def _is_read_past(sign: str) -> bool:
    if sign in _KEPT_SIGNS:
        return False
    return sign in _MORE_READ_PAST or unicodedata.category(sign)[0] in _READ_PAST
