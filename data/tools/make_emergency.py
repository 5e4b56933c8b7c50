"""Make data/catalogue/emergency_numbers.csv: our source and the number metadata, joined.

    python data/tools/make_emergency.py > data/catalogue/emergency_numbers.csv

A number that either of them lists is an emergency, unless `LEFT_OUT` names it and says why.
"""

from __future__ import annotations

import csv
import re._constants as sre
import re._parser as sre_parser
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.shortnumberinfo import SUPPORTED_SHORT_REGIONS

SOURCE = Path(__file__).parent / "emergency_source.csv"
HEAD = """\
# Emergency numbers by country, exactly as dialled: leading zeros matter, spaces between them.
# A dial mask reads mask>number: who dials the mask gets the number. The mask sos is the name
# urn:service:sos of RFC 5031, sos.fire a sub-service. 933 (US, CA, PR) tests the address.
# Made by data/tools/make_emergency.py from emergency_source.csv beside it and phonenumberslite
# {version}; do not edit a row: your own go into emergency_extra.csv."""
COLUMNS = ("country", "numbers", "dial_masks")
DIGITS = "0123456789"
# By country and number: what the metadata lists and we do not, and why.
LEFT_OUT = {
    **{(country, "112"): "mobile networks alone make 911 of it" for country in ("US", "CA")},
    **{(country, "112"): "a mask: it leads to 000" for country in ("AU", "CC", "CX", "NF")},
    **{("GA", str(number)): "single hospitals, and 1300 is theirs" for number in range(1301, 1400)},
}


def listed_by_metadata(country: str) -> list[str]:
    """List what the metadata has as emergency numbers of a country."""
    if country not in SUPPORTED_SHORT_REGIONS:
        return []
    metadata = PhoneMetadata.short_metadata_for_region(country)
    emergency = metadata.emergency if metadata is not None else None
    pattern = emergency.national_number_pattern if emergency is not None else None
    return sorted(set(_spelled(sre_parser.parse(pattern)))) if pattern else []


def _spelled(parsed: Any) -> Iterator[str]:
    """Spell out everything that a pattern without an open end matches."""
    for parts in product(*(list(_choices(code, argument)) for code, argument in parsed)):
        yield "".join(parts)


def _choices(code: Any, argument: Any) -> Iterator[str]:
    if code is sre.LITERAL:
        yield chr(argument)
    elif code is sre.IN:
        yield from (digit for digit in DIGITS if any(_holds(digit, item) for item in argument))
    elif code is sre.BRANCH:
        for branch in argument[1]:
            yield from _spelled(branch)
    elif code is sre.SUBPATTERN:
        yield from _spelled(argument[3])
    elif code is sre.MAX_REPEAT:
        least, most, body = argument
        for count in range(least, most + 1):
            yield from ("".join(parts) for parts in product(list(_spelled(body)), repeat=count))
    else:
        raise ValueError(f"the metadata uses a construct this script does not know: {code}")


def _holds(digit: str, item: tuple[Any, Any]) -> bool:
    code, argument = item
    if code is sre.LITERAL:
        return ord(digit) == argument
    if code is sre.RANGE:
        return bool(argument[0] <= ord(digit) <= argument[1])
    return code is sre.CATEGORY  # Only \d is used.


def joined(source: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield country, numbers and masks, our own numbers first."""
    for country in sorted(SUPPORTED_SHORT_REGIONS | source.keys()):
        numbers, masks = source.get(country, ("", ""))
        own = numbers.split()
        more = [
            number
            for number in listed_by_metadata(country)
            if number not in own and (country, number) not in LEFT_OUT
        ]
        if own or more:
            yield country, " ".join((*own, *more)), masks


def read_source() -> dict[str, tuple[str, str]]:
    """Read our own table beside this script."""
    lines = [line for line in SOURCE.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {row["country"]: (row["numbers"], row["dial_masks"]) for row in csv.DictReader(lines)}


def main() -> None:
    """Write the table to standard output."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    print(HEAD.format(version=version("phonenumberslite")))
    out.writerow(COLUMNS)
    out.writerows(joined(read_source()))


if __name__ == "__main__":
    main()
