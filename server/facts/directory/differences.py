"""What an import would change: what is new, what differs, what goes, and who would lose what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from server.facts.directory.bodies import ItemKind
from server.facts.directory.rows import ItemRow

# Others are only counted.
MAX_TOLD = 1_000

Bodies = Mapping[ItemKind, Mapping[str, str]]


class Action(StrEnum):
    """What becomes of something."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changes. `fields` differ; `losses` its holder can no longer use."""

    action: Action
    resource: str
    fields: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(slots=True)
class Differences:
    """All that changes. Of `losing` and of `others` only the first are kept."""

    items: list[ItemRow] = field(default_factory=list)
    counts: dict[Action, int] = field(default_factory=lambda: dict.fromkeys(Action, 0))
    unchanged: int = 0
    losing_count: int = 0
    losing: list[Difference] = field(default_factory=list)
    others: list[Difference] = field(default_factory=list)

    def told(self) -> list[Difference]:
        """List the changes to be told in full: first those that take something away."""
        return [*self.losing, *self.others][:MAX_TOLD]

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep it while there is room."""
        self.counts[difference.action] += 1
        self.losing_count += bool(difference.losses)
        kept = self.losing if difference.losses else self.others
        if len(kept) < MAX_TOLD:
            kept.append(difference)

    def note_head(self, action: Action, old: str | None, new: str) -> None:
        """Count a difference of what the tenant says of itself."""
        was = msgspec.json.decode(old) if old is not None else {}
        fields = _fields(was, msgspec.json.decode(new)) if old is not None else ()
        self.note(Difference(action, "tenant", fields))


def find_differences(before: Bodies, after: Iterator[ItemRow]) -> Differences:
    """Compare what there is with what is to be; what is not in `after` goes."""
    found = Differences()
    kept: dict[ItemKind, set[str]] = {kind: set() for kind in ItemKind}
    for row in after:
        kind = ItemKind(row.kind)
        kept[kind].add(row.item_id)
        old = before[kind].get(row.item_id)
        if old == row.body:
            found.unchanged += 1
            continue
        found.items.append(row)
        found.note(_difference(kind, row.item_id, old, new=row.body))
    for kind, bodies in before.items():
        for item_id in sorted(bodies.keys() - kept[kind]):
            found.items.append(ItemRow("", kind.value, item_id, 0, None, "", None))
            found.note(_difference(kind, item_id, bodies[item_id], new=None))
    return found


def _difference(kind: ItemKind, item_id: str, old: str | None, *, new: str | None) -> Difference:
    resource = f"{kind.table}/{item_id}"
    if old is None:
        return Difference(Action.CREATE, resource)
    was: dict[str, Any] = msgspec.json.decode(old)
    now: dict[str, Any] = msgspec.json.decode(new) if new is not None else {}
    losses = [name for name in was.get("licences", ()) if name not in now.get("licences", ())]
    if was.get("number") and was["number"] != now.get("number"):
        losses.append(f"number {was['number']}")
    if new is None:
        if kind is ItemKind.SERVICE_NUMBER:
            losses.append(f"number {item_id}")
        return Difference(Action.DELETE, resource, losses=tuple(losses))
    return Difference(Action.UPDATE, resource, _fields(was, now), tuple(losses))


def _fields(was: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name in was | now if was.get(name) != now.get(name)))
