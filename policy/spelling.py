"""What people write between the digits of a number, and how to read past it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

# Nobody dials more; what is longer is not looked at. The second is without separators.
LONGEST_SPELLING: Final = 64
LONGEST_DIALLED: Final = 32

# The separators of RFC 3966, blanks, dashes, and the invisible marks that pasted numbers carry.
_SEPARATORS: Final = (
    " -.()/\t\u00a0\u00ad\u2007\u2009\u200b\u200e\u200f\u2010\u2011\u2012\u2013\u2014"
    "\u202a\u202b\u202c\u202d\u202e\u202f\u2060\u2066\u2067\u2068\u2069\u2212\ufeff"
)
# What is kept stands in the table too: `translate` is five times slower on what it does not find.
_KEPT: Final = "+0123456789"
_WITHOUT_SEPARATORS: Final = str.maketrans(_KEPT, _KEPT, _SEPARATORS)
_TEL_SCHEME: Final = "tel:"
_SCHEME: Final = re.compile(r"\A(?:sips?|tel):", re.IGNORECASE)
_BEHIND_NUMBER: Final = re.compile(r"[;@:?]")
# Parameters of RFC 3966 and its like that say how a call is carried, or who vouches for it, and
# never which number it is. An extension ("ext") and digits for later ("postd") do.
_IDLE_PARAMETERS: Final = frozenset(
    [
        "verstat",
        "npdi",
        "rn",
        "rn-context",
        "cic",
        "cic-context",
        "tgrp",
        "trunk-context",
        "isub",
        "isub-encoding",
        "cpc",
        "oli",
        "enumdi",
        "user",
    ]
)
_CONTEXT: Final = "phone-context"
_GLOBAL_CONTEXT: Final = re.compile(r"\+[0-9().-]*[0-9][0-9().-]*")


def strip_separators(dialled: str) -> str:
    """Drop visual separators and a "tel:" in front; all else stays, also what is no digit."""
    if dialled[:1] in {"t", "T"} and dialled[:4].lower() == _TEL_SCHEME:
        dialled = dialled[4:]
    return dialled.translate(_WITHOUT_SEPARATORS)


def drop_parameters(dialled: str) -> str:
    """Drop the parameters behind a number that never change it; with any other, all stay.

    A global context stays behind a local number, which it says the country of.
    """
    number, *parameters = dialled.split(";")
    context = ""
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == _CONTEXT and _GLOBAL_CONTEXT.fullmatch(value):
            context = f";{_CONTEXT}={value}"
        elif name.lower() not in _IDLE_PARAMETERS:
            return dialled
    is_local = bool(context) and not strip_separators(number.strip()).startswith("+")
    return number + context if is_local else number


def split_context(dialled: str) -> tuple[str, str]:
    """Part a local number from the digits of its global context, if it has one and nothing else."""
    number, _, parameter = drop_parameters(dialled).partition(";")
    name, _, context = parameter.partition("=")
    if parameter and not (name == _CONTEXT and _GLOBAL_CONTEXT.fullmatch(context)):
        return dialled, ""
    return number, strip_separators(context).removeprefix("+")


def read_past_uri(presented: str) -> str:
    """Leave of a URI the number in it: no scheme, host or parameters, escapes read.

    For who calls, where an extension says no more than the number does.
    """
    text = unquote(_SCHEME.sub("", presented.strip()))
    return _BEHIND_NUMBER.split(text, maxsplit=1)[0]


def is_digits(text: str) -> bool:
    """Tell whether a text is one or more of 0 to 9 and nothing else, other scripts included."""
    return text.isascii() and text.isdecimal()
