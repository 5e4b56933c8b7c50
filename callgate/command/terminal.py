"""What reaches a terminal or a spreadsheet: texts of strangers command neither."""

from __future__ import annotations

import re
import secrets
from typing import Any

import click

# All but the ends of lines and tabs; also what turns the direction of writing round.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
# What a spreadsheet computes, and what is a number nevertheless.
_COMPUTED = re.compile(r"[=+\-@\t\r]|'['=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9][0-9.*]*")
_MARKED = re.compile(r"'['=+\-@\t\r]")


# Stands for the escape character of our own colours, and is nobody else's to know.
_ESCAPE = f"\ue000{secrets.token_hex(4)}\ue001"


def style(text: str, **look: Any) -> str:
    """Colour a text for `echo`."""
    return click.style(harmless(text), **look).replace("\x1b", _ESCAPE)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text; a control character in it is shown and not obeyed."""
    click.echo(harmless(text).replace(_ESCAPE, "\x1b"), err=err, nl=nl)


def harmless(text: str) -> str:
    """Show control characters by their numbers."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def write_cell(text: str) -> str:
    """Write a cell of a table so that no spreadsheet computes it."""
    return f"'{text}" if _COMPUTED.match(text) and not _NUMBER.fullmatch(text) else text


def read_cell(text: str) -> str:
    """Read a cell that may have been marked as a text."""
    return text[1:] if _MARKED.match(text) else text
