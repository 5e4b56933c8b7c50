"""A tenant written as its file: always in the same order, so that equal tenants are equal bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from server.facts.directory.bodies import ItemKind

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_INNER = ("licences_purchased", "inbound_block", "notices")


def write_tenant(head: str, items: Iterable[tuple[ItemKind, str, str]]) -> Iterator[str]:
    """Write a tenant from bodies of the archive: its head, then its items in the order given."""
    values: dict[str, Any] = msgspec.json.decode(head)
    tables = {name: values.pop(name) for name in _INNER if name in values}
    rules = values.pop("dial_plan", [])
    yield _pairs(values)
    for name, table in tables.items():
        yield f"\n[{name}]\n{_pairs(table)}"
    for rule in rules:
        yield f"\n[[dial_plan]]\n{_pairs(rule)}"
    for kind, item_id, body in items:
        yield f"\n[{kind.table}.{_key(item_id)}]\n{_pairs(msgspec.json.decode(body))}"


def _pairs(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in values.items())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value)


def _text(value: str) -> str:
    # JSON's escapes are TOML's, but for the one control character that JSON lets through.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
