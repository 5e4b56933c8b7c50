"""One section of a file against what it should hold, every field judged for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar, get_args

import msgspec

MAX_SHOWN_LENGTH = 60

Report = Callable[[str, str], None]
Section = TypeVar("Section", bound=msgspec.Struct)


def read_section(
    values: Mapping[str, Any], kind: type[Section], report: Report, *, strict: bool = True
) -> Section | None:
    """Read a section as the struct `kind`, or report each wrong field and give None.

    `report` is called with the field and what is wrong with it. Not `strict` reads figures from
    text, as the cells of a table are.
    """
    try:
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        problems = list(_problems(values, kind, strict))
        for field, text in problems or [("", str(error))]:
            report(field, text)
        return None


def _problems(
    values: Mapping[str, Any], kind: type[Section], strict: bool
) -> list[tuple[str, str]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    found = [(name, _unknown(name, list(fields))) for name in values if name not in fields]
    for name, field in fields.items():
        if name not in values:
            if field.required:
                found.append((name, f"is missing; give {_wanted(field.type) or 'it'}"))
            continue
        try:
            msgspec.convert(values[name], field.type, strict=strict)
        except msgspec.ValidationError as error:
            found.append((name, f"is {_shown(values[name])}; give {_wanted(field.type) or error}"))
    return found


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"is not a field here; {hint}"


def _wanted(kind: Any) -> str:
    """Say in words what a type wants: its description, the values of its choice, or its name."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    if kind is bool:
        return "true or false"
    return next((wanted for part in get_args(kind) if (wanted := _wanted(part))), "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else text[:MAX_SHOWN_LENGTH] + "..."
