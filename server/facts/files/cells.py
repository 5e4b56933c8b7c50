"""Cells of files that people open with a spreadsheet: a text of strangers is no formula there.

A cell that a spreadsheet would compute gets an apostrophe in front, the sign for "a text" there;
numbers, those of telephones too, stay as they are. `read_cell` takes it away again, so that what is
imported from an export is exported as the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# OWASP's list: https://owasp.org/www-community/attacks/CSV_Injection.
_COMPUTED = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.*]*")
_MARKED = re.compile(r"'['=+\-@\t\r]")


def write_cell(text: str) -> str:
    """Write a text so that no spreadsheet computes it."""
    if _MARKED.match(text) or (_COMPUTED.match(text) and not _NUMBER.fullmatch(text)):
        return f"'{text}"
    return text


def read_cell(text: str) -> str:
    """Read what `write_cell` wrote."""
    return text[1:] if _MARKED.match(text) else text


def other_separator(header: Sequence[str]) -> str:
    """Name what separates columns in place of commas, as spreadsheets of some countries do."""
    if len(header) != 1:
        return ""
    return next((separator for separator in (";", "\t", "|") if separator in header[0]), "")
