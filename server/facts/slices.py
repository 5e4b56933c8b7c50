"""Facts in slices: taken apart in one process, put together in another, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from policy.facts import Catalogue, Tenant
from server.facts.files.problems import Problem

# Each about a millisecond of the loop that puts them together.
ITEMS_PER_SLICE = 100
# To compile a pattern takes longer.
PATTERNS_PER_SLICE = 5

# Tables of tables, by currency.
NESTED = frozenset({"rates", "toll_free_rates", "toll_rates"})
PATTERNS = frozenset({"dial_plan", "blocked_callers", "exempt_callers"})


@dataclass(frozen=True, slots=True)
class Begin:
    """The start of a catalogue or a tenant: all fields that are small."""

    kind: type[Catalogue | Tenant]
    small: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slice:
    """A few items of one field; `table` is which of its tables, where it has several."""

    field: str
    table: str
    items: list[Any]


@dataclass(frozen=True, slots=True)
class End:
    """The end of what began last."""


@dataclass(frozen=True, slots=True)
class Read:
    """Everything that differs has been told; these tenants there are, changed or not.

    `warnings` are lines to show about a catalogue that differs; it can be used.
    """

    tenant_ids: frozenset[str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The files cannot be used; nothing was told of them."""

    problems: tuple[Problem, ...]
    more: int


Message = Begin | Slice | End | Read | Failed


def take_apart(facts: Catalogue | Tenant) -> Iterator[Message]:
    """Yield a catalogue or a tenant as messages, none of which holds more than a slice."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts)}
    large = {
        name: value
        for name, value in values.items()
        if name in PATTERNS or isinstance(value, Mapping)
    }
    yield Begin(type(facts), {name: values[name] for name in values.keys() - large.keys()})
    for name, value in large.items():
        if name in PATTERNS:
            yield from _slices(name, "", value, size=PATTERNS_PER_SLICE)
        elif name in NESTED:
            for table, rows in value.items():
                yield from _slices(name, table, rows.items(), size=ITEMS_PER_SLICE)
        else:
            yield from _slices(name, "", value.items(), size=ITEMS_PER_SLICE)
    yield End()


def _slices(name: str, table: str, items: Any, *, size: int) -> Iterator[Slice]:
    """Yield at least one slice, so that an empty table is told as well."""
    rest = iter(items)
    yield Slice(name, table, list(islice(rest, size)))
    while piece := list(islice(rest, size)):
        yield Slice(name, table, piece)


class Assembly:
    """Puts one catalogue or tenant together."""

    def __init__(self, begin: Begin) -> None:
        self._kind = begin.kind
        self._values: dict[str, Any] = dict(begin.small)

    def add(self, piece: Slice) -> None:
        """Take a slice in."""
        if piece.field in PATTERNS:
            self._values.setdefault(piece.field, []).extend(piece.items)
            return
        table = self._values.setdefault(piece.field, {})
        if piece.field in NESTED:
            table = table.setdefault(piece.table, {})
        table.update(piece.items)

    def finish(self) -> Catalogue | Tenant:
        """Return the whole."""
        for name in PATTERNS & self._values.keys():
            self._values[name] = tuple(self._values[name])
        for name in NESTED & {field.name for field in fields(self._kind)}:
            self._values.setdefault(name, {})
        return self._kind(**self._values)
