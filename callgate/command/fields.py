"""Fields of messages, as they are typed and as they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
from google.protobuf.message import Message

from callgate.command import words
from callgate.v1.money_pb2 import Money

_MICROS = 1_000_000
_NOT_TYPED = frozenset({"tenant_id", "user_id", "account_id", "etag", "toll_free"})
_WORDS = {"true": True, "false": False}


def fill(message: Message, pairs: Iterable[str]) -> list[str]:
    """Set fields from "field=value", and list those named. Raises `UsageError`."""
    named = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if not equals or field is None or not _is_typed(field):
            known = [one.name for one in message.DESCRIPTOR.fields if _is_typed(one)]
            raise click.UsageError(f"{pair!r}: give FIELD=VALUE; fields are {', '.join(known)}")
        named.append(name)
        if text:
            _set(message, field, text)
    return named


def table(messages: Sequence[Message], columns: Sequence[str]) -> str:
    """Write messages as a table with a header."""
    rows = [
        [name.removesuffix("_code").replace("_", " ") for name in columns],
        *([_shown(message, name) for name in columns] for message in messages),
    ]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def lines(message: Message) -> str:
    """Write what a message says, a field a line."""
    said = [(field.name, _shown(message, field.name)) for field in message.DESCRIPTOR.fields]
    told = [(name, text) for name, text in said if text]
    width = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in told)


def _is_typed(field: Any) -> bool:
    """Tell whether a field is one to set, and one that a single value can say."""
    is_table = field.message_type is not None and field.message_type is not Money.DESCRIPTOR
    return not is_table and field.name not in _NOT_TYPED


def _set(message: Any, field: Any, text: str) -> None:
    try:
        if field.is_repeated:
            getattr(message, field.name).extend(part for part in text.split(",") if part)
        elif field.message_type is not None:
            getattr(message, field.name).micros = words.micros_of(text)
        elif field.enum_type is not None:
            setattr(message, field.name, _number(field.enum_type, text))
        elif field.type == field.TYPE_BOOL:
            setattr(message, field.name, _WORDS[text.lower()])
        else:
            is_text = field.type == field.TYPE_STRING
            setattr(message, field.name, text if is_text else int(text))
    except (KeyError, ValueError) as error:
        raise click.UsageError(f"{field.name}={text}: give {_wanted(field)}") from error


def _wanted(field: Any) -> str:
    if field.message_type is not None:
        return "an amount in units, such as 50.00"
    if field.enum_type is not None:
        return "one of " + ", ".join(_words(field.enum_type))
    return "true or false" if field.type == field.TYPE_BOOL else "a whole number"


def _words(kind: Any) -> list[str]:
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    return [value.name.removeprefix(prefix).lower() for value in kind.values[1:]]


def _number(kind: Any, word: str) -> int:
    prefix = kind.values[0].name.removesuffix("UNSPECIFIED")
    return int(kind.values_by_name[f"{prefix}{word.upper()}"].number)


def _shown(message: Any, name: str) -> str:
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.has_presence and not message.HasField(name):
        return ""
    if field.is_repeated:
        return _shown_many(field, value)
    if field.message_type is not None:
        return _shown_message(value)
    if field.enum_type is not None:
        return _words(field.enum_type)[value - 1] if value else ""
    if isinstance(value, bool):
        return "yes" if value else "no" if field.has_presence else ""
    return str(value)


def _shown_many(field: Any, value: Any) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return ", ".join(f"{key} {count:,}" for key, count in sorted(value.items()))
    if field.message_type is not None:
        return "; ".join(" ".join(str(part) for _, part in one.ListFields()) for one in value)
    return " ".join(value)


def _shown_message(value: Any) -> str:
    if isinstance(value, Money):
        return words.money(value)
    if value.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        return words.clock(value)
    return "; ".join(f"{field.name} {part}" for field, part in value.ListFields())
