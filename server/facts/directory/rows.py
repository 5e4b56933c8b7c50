"""The rows of the directory: read a page at a time, and written under its one revision.

Bodies are texts that mean nothing here. Functions take the connection of a transaction; those that
write come after `next_revision`, which makes writers wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from server.facts.directory.tables import (
    DIRECTORY_ITEMS,
    DIRECTORY_LICENCES,
    DIRECTORY_STATE,
    DIRECTORY_TENANTS,
)

# More names in one statement are read in pieces.
NAMES_A_STATEMENT = 500

_ITEMS, _TENANTS, _LICENCES = DIRECTORY_ITEMS.c, DIRECTORY_TENANTS.c, DIRECTORY_LICENCES.c


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant: its own body, and the revisions of itself and of anything that is its."""

    tenant_id: str
    revision: int
    begin_revision: int
    body_revision: int
    create_ms: int
    update_ms: int
    deleted: bool
    body: str


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A user, a resource account or a service number. It is gone where it has no body."""

    tenant_id: str
    kind: str
    item_id: str
    revision: int
    number: str | None
    account_id: str
    body: str | None


class Shelf(NamedTuple):
    """All items of one kind that a tenant has."""

    tenant_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items to list: ids that begin so, bodies that hold all of these texts."""

    prefix: str = ""
    holding: tuple[str, ...] = ()


EVERY_ITEM = ItemFilter()


def newest_revision(connection: Connection) -> int:
    """Read the revision of the last change."""
    return int(connection.execute(select(DIRECTORY_STATE.c.revision)).scalar_one())


def next_revision(connection: Connection) -> int:
    """Take the next revision; other writers wait from here to the end of the transaction."""
    moved = update(DIRECTORY_STATE).values(revision=DIRECTORY_STATE.c.revision + 1)
    return int(connection.execute(moved.returning(DIRECTORY_STATE.c.revision)).scalar_one())


# --- Reading ------------------------------------------------------------------------------------


def find_tenant(connection: Connection, tenant_id: str) -> TenantRow | None:
    """Find a tenant that is not deleted."""
    found = _tenants(
        connection,
        select(DIRECTORY_TENANTS).where(_TENANTS.tenant_id == tenant_id, ~_TENANTS.deleted),
    )
    return found[0] if found else None


def tenants_since(connection: Connection, revision: int) -> list[TenantRow]:
    """List the tenants of which anything changed after a revision, deleted ones too."""
    return _tenants(connection, select(DIRECTORY_TENANTS).where(_TENANTS.revision > revision))


def tenants_after(connection: Connection, tenant_id: str, limit: int) -> list[TenantRow]:
    """List tenants, those whose ids come after one."""
    query = select(DIRECTORY_TENANTS).where(_TENANTS.tenant_id > tenant_id, ~_TENANTS.deleted)
    return _tenants(connection, query.order_by(_TENANTS.tenant_id).limit(limit))


def find_item(connection: Connection, shelf: Shelf, item_id: str) -> ItemRow | None:
    """Find an item that is there."""
    query = select(DIRECTORY_ITEMS).where(*_on(shelf), _ITEMS.item_id == item_id)
    found = _items(connection, query)
    return found[0] if found else None


def items_after(
    connection: Connection,
    shelf: Shelf,
    after: str,
    *,
    limit: int,
    wanted: ItemFilter = EVERY_ITEM,
) -> list[ItemRow]:
    """List items of one kind whose ids come after one."""
    holding = (_ITEMS.body.contains(text, autoescape=True) for text in wanted.holding)
    query = select(DIRECTORY_ITEMS).where(*_on(shelf), _ITEMS.item_id > after, *holding)
    if wanted.prefix:
        query = query.where(_ITEMS.item_id.startswith(wanted.prefix, autoescape=True))
    return _items(connection, query.order_by(_ITEMS.item_id).limit(limit))


def items_since(
    connection: Connection, tenant_id: str, revision: int, *, after: tuple[str, str], limit: int
) -> list[ItemRow]:
    """List the items that changed after a revision, gone ones too, behind (kind, id)."""
    query = select(DIRECTORY_ITEMS).where(
        _ITEMS.tenant_id == tenant_id,
        _ITEMS.revision > revision,
        tuple_(_ITEMS.kind, _ITEMS.item_id) > tuple_(*after),
    )
    return _items(connection, query.order_by(_ITEMS.kind, _ITEMS.item_id).limit(limit))


def every_item(connection: Connection, *, after: tuple[str, str, str], limit: int) -> list[ItemRow]:
    """List the items of all tenants that are there, behind (tenant, kind, id)."""
    key = (_ITEMS.tenant_id, _ITEMS.kind, _ITEMS.item_id)
    query = select(DIRECTORY_ITEMS).where(tuple_(*key) > tuple_(*after), _ITEMS.body.is_not(None))
    return _items(connection, query.order_by(*key).limit(limit))


def count_items(connection: Connection, tenant_id: str) -> dict[str, int]:
    """Count a tenant's items by kind."""
    query = (
        select(_ITEMS.kind, func.count())
        .where(_ITEMS.tenant_id == tenant_id, _ITEMS.body.is_not(None))
        .group_by(_ITEMS.kind)
    )
    return {kind: int(count) for kind, count in connection.execute(query)}


def known_ids(connection: Connection, shelf: Shelf, ids: Sequence[str]) -> frozenset[str]:
    """Say which of these items there are."""
    query = select(_ITEMS.item_id).where(*_on(shelf), _ITEMS.item_id.in_(ids))
    return frozenset(connection.scalars(query))


def speaking_of(connection: Connection, tenant_id: str, account_id: str) -> tuple[str, str] | None:
    """Find (kind, id) of an item that speaks of a resource account."""
    query = select(_ITEMS.kind, _ITEMS.item_id).where(
        _ITEMS.tenant_id == tenant_id, _ITEMS.account_id == account_id, _ITEMS.body.is_not(None)
    )
    row = connection.execute(query.limit(1)).first()
    return (row[0], row[1]) if row else None


def holders(connection: Connection, numbers: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Say who has which of these numbers: (tenant, kind, id)."""
    found: dict[str, tuple[str, str, str]] = {}
    for start in range(0, len(numbers), NAMES_A_STATEMENT):
        piece = numbers[start : start + NAMES_A_STATEMENT]
        query = select(_ITEMS.number, _ITEMS.tenant_id, _ITEMS.kind, _ITEMS.item_id).where(
            _ITEMS.number.in_(piece)
        )
        found |= {row[0]: (row[1], row[2], row[3]) for row in connection.execute(query)}
    return found


def assigned_licences(connection: Connection, tenant_id: str) -> dict[str, int]:
    """Count a tenant's licences that accounts have, by name in capitals."""
    query = (
        select(_LICENCES.licence, _LICENCES.assigned)
        .where(_LICENCES.tenant_id == tenant_id)
        .order_by(_LICENCES.licence)
    )
    return {licence: int(count) for licence, count in connection.execute(query)}


# --- Writing ------------------------------------------------------------------------------------


def put_tenant(connection: Connection, row: TenantRow) -> None:
    """Write a tenant, new or not."""
    connection.execute(delete(DIRECTORY_TENANTS).where(_TENANTS.tenant_id == row.tenant_id))
    connection.execute(insert(DIRECTORY_TENANTS), [_values(row)])


def touch_tenant(connection: Connection, tenant_id: str, *, revision: int, now_ms: int) -> None:
    """Note that something of a tenant changed."""
    moved = update(DIRECTORY_TENANTS).where(_TENANTS.tenant_id == tenant_id)
    connection.execute(moved.values(revision=revision, update_ms=now_ms))


def put_item(connection: Connection, row: ItemRow) -> None:
    """Write an item, new or not; without a body it is gone."""
    connection.execute(
        delete(DIRECTORY_ITEMS).where(
            _ITEMS.tenant_id == row.tenant_id,
            _ITEMS.kind == row.kind,
            _ITEMS.item_id == row.item_id,
        )
    )
    connection.execute(insert(DIRECTORY_ITEMS), [_values(row)])


def put_items(connection: Connection, items: Iterable[ItemRow]) -> None:
    """Write many new items."""
    batch = [_values(row) for row in items]
    if batch:
        connection.execute(insert(DIRECTORY_ITEMS), batch)


def drop_items(connection: Connection, tenant_id: str) -> None:
    """Forget all that a tenant owned."""
    connection.execute(delete(DIRECTORY_ITEMS).where(_ITEMS.tenant_id == tenant_id))
    connection.execute(delete(DIRECTORY_LICENCES).where(_LICENCES.tenant_id == tenant_id))


def move_licences(connection: Connection, tenant_id: str, moves: Mapping[str, int]) -> None:
    """Add to, or take from, the counts of assigned licences."""
    assigned = assigned_licences(connection, tenant_id)
    for licence, count in moves.items():
        assigned[licence] = assigned.get(licence, 0) + count
    rows = [
        {"tenant_id": tenant_id, "licence": licence, "assigned": assigned[licence]}
        for licence in moves
        if assigned[licence]
    ]
    connection.execute(
        delete(DIRECTORY_LICENCES).where(
            _LICENCES.tenant_id == tenant_id, _LICENCES.licence.in_(list(moves))
        )
    )
    if rows:
        connection.execute(insert(DIRECTORY_LICENCES), rows)


def _on(shelf: Shelf) -> tuple[ColumnElement[bool], ...]:
    return (
        _ITEMS.tenant_id == shelf.tenant_id,
        _ITEMS.kind == shelf.kind,
        _ITEMS.body.is_not(None),
    )


def _tenants(connection: Connection, query: Select[Any]) -> list[TenantRow]:
    return [TenantRow(**row) for row in connection.execute(query).mappings()]


def _items(connection: Connection, query: Select[Any]) -> list[ItemRow]:
    return [ItemRow(*row) for row in connection.execute(query)]


def _values(row: TenantRow | ItemRow) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}
