"""Who a SIP header names: addresses of all spellings, and who of them diverted a call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

_URI = re.compile(
    r"(?:(?P<sip>sips?):(?:(?P<user>[^@>\s]*)@)?(?P<host>\[[^\]>]*\]|[^;?>:\s]*)|tel:(?P<tel>[^?>\s]*))"
    r"(?P<rest>[^>\s]*)",
    re.IGNORECASE,
)
# Between two values of a list: a comma that is neither quoted nor inside brackets.
_VALUE = re.compile(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+')
# Of a History-Info: the entry was left, or the next one was reached, because somebody diverted.
_LEFT = re.compile(r"[?&]reason=", re.IGNORECASE)
_REACHED = re.compile(r";cause=", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_SEPARATORS = re.compile(r"[-.() ]")
_NUMBER = re.compile(r"\+?[0-9]+")


@dataclass(frozen=True, slots=True)
class Address:
    """An address: `user` with its escapes read, `host` in small letters, empty of a tel URI."""

    user: str
    host: str
    uri: str

    @property
    def number(self) -> str:
        """The telephone number it is, without parameters and separators; empty where it is none."""
        digits = _SEPARATORS.sub("", self.user.partition(";")[0])
        return digits if _NUMBER.fullmatch(digits) else ""


def address_of(value: str) -> Address | None:
    """Read one address: a URI, alone or in brackets behind a name; None for anything else."""
    before, opened, enclosed = _QUOTED.sub("", value).partition("<")
    found = _URI.search(enclosed if opened else before)
    if found is None:
        return None
    if found["sip"]:
        user = unquote((found["user"] or "").partition(":")[0])
        return Address(user, found["host"].lower(), found[0])
    return Address(unquote(found["tel"]), "", found[0])


def addresses_in(header: str) -> tuple[Address, ...]:
    """Read every address of a header's values, the first first; what is none is left out."""
    found = (address_of(value[0]) for value in _VALUE.finditer(header))
    return tuple(address for address in found if address is not None)


def diverters_in(diversion: str, history: str) -> Iterator[Address]:
    """Tell who diverted a call, the last one first: Diversion says so, else History-Info."""
    diverters = addresses_in(diversion)
    if diverters:
        yield from diverters
        return
    entries = addresses_in(history)
    for at in range(len(entries) - 2, -1, -1):
        if _LEFT.search(entries[at].uri) or _REACHED.search(entries[at + 1].uri):
            yield entries[at]
