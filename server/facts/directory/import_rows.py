"""An import in the archive: laid aside in many small transactions, taken over in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, literal, select

from server.facts.directory.rows import ItemRow
from server.facts.directory.tables import DIRECTORY_ITEMS, DIRECTORY_LICENCES, DIRECTORY_STAGED
from server.storage.sql.audit import AUDIT_TRAIL

# An import that is older was given up by a process that is gone.
LEFT_OVER_MS = 60 * 60 * 1_000
_ACTION = "ImportDirectory"

_ITEMS, _STAGED = DIRECTORY_ITEMS.c, DIRECTORY_STAGED.c


@dataclass(frozen=True, slots=True)
class Import:
    """One import: of which tenant, by whom, when."""

    import_id: str
    tenant_id: str
    who: str
    now_ms: int


def clear_left_over(connection: Connection, now_ms: int) -> None:
    """Throw away what imports that never ended had laid aside."""
    connection.execute(delete(DIRECTORY_STAGED).where(_STAGED.create_ms < now_ms - LEFT_OVER_MS))


def clear(connection: Connection, import_id: str) -> None:
    """Throw away what an import has laid aside."""
    connection.execute(delete(DIRECTORY_STAGED).where(_STAGED.import_id == import_id))


def stage(connection: Connection, one: Import, items: Iterable[ItemRow]) -> None:
    """Lay items aside, as they are to become; those without a body are to go."""
    rows = [
        {
            "import_id": one.import_id,
            "kind": item.kind,
            "item_id": item.item_id,
            "create_ms": one.now_ms,
            "number": item.number,
            "account_id": item.account_id,
            "body": item.body,
        }
        for item in items
    ]
    if rows:
        connection.execute(insert(DIRECTORY_STAGED), rows)


def take_over(connection: Connection, one: Import, revision: int) -> None:
    """Let all that was laid aside take the place of what there is, and note it in the audit trail.

    Everything goes before anything comes, so that numbers may change hands.
    """
    _audit(connection, one)
    staged = select(_STAGED.item_id).where(
        _STAGED.import_id == one.import_id,
        _STAGED.kind == _ITEMS.kind,
        _STAGED.item_id == _ITEMS.item_id,
    )
    connection.execute(
        delete(DIRECTORY_ITEMS).where(_ITEMS.tenant_id == one.tenant_id, exists(staged))
    )
    come = select(
        literal(one.tenant_id),
        _STAGED.kind,
        _STAGED.item_id,
        literal(revision),
        _STAGED.number,
        _STAGED.account_id,
        _STAGED.body,
    ).where(_STAGED.import_id == one.import_id)
    columns = ["tenant_id", "kind", "item_id", "revision", "number", "account_id", "body"]
    connection.execute(insert(DIRECTORY_ITEMS).from_select(columns, come))
    clear(connection, one.import_id)


def set_licences(connection: Connection, tenant_id: str, assigned: Mapping[str, int]) -> None:
    """Write how many of each licence are assigned."""
    table = DIRECTORY_LICENCES
    connection.execute(delete(table).where(table.c.tenant_id == tenant_id))
    rows = [
        {"tenant_id": tenant_id, "licence": licence, "assigned": count}
        for licence, count in assigned.items()
    ]
    if rows:
        connection.execute(insert(table), rows)


def _audit(connection: Connection, one: Import) -> None:
    before = DIRECTORY_ITEMS.alias()
    path = literal(f"tenants/{one.tenant_id}/") + _STAGED.kind + "s/" + _STAGED.item_id
    changes = (
        select(
            literal(one.now_ms),
            literal(one.who),
            literal(_ACTION),
            path,
            literal(one.tenant_id),
            before.c.body,
            _STAGED.body,
        )
        .select_from(
            DIRECTORY_STAGED.outerjoin(
                before,
                (before.c.tenant_id == one.tenant_id)
                & (before.c.kind == _STAGED.kind)
                & (before.c.item_id == _STAGED.item_id),
            )
        )
        .where(_STAGED.import_id == one.import_id)
    )
    columns = ["time_ms", "identity_id", "action", "resource", "tenant_id", "before", "after"]
    connection.execute(insert(AUDIT_TRAIL).from_select(columns, changes))
