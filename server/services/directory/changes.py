"""Changes of the directory: each one transaction of the archive, checked and audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from google.protobuf.message import Message
from sqlalchemy import Connection

from server.access.errors import TenantForbidden
from server.calls.messages.fields import InvalidRequest
from server.facts.catalogue import CatalogueFiles
from server.facts.directory import rows
from server.facts.directory.bodies import (
    ItemKind,
    ItemSection,
    account_of,
    head_body,
    item_body,
    number_of,
    read_item,
)
from server.facts.directory.rows import ItemRow, Shelf, TenantRow
from server.facts.errors import (
    EtagChanged,
    ResourceExists,
    ResourceInUse,
    ResourceUnknown,
    TenantInUse,
)
from server.services.directory.checks import Checker, licence_moves
from server.services.directory.messages import ITEMS, TENANT, Shape, check_currency, values_of
from server.storage.sql.audit import Audited, AuditTrail
from server.usage.reports.saved import drop_reports

_FIXED = frozenset({"currency_code", "opening_balance"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants a resource to be: a message, and which of its fields to take over."""

    shape: Shape
    message: Message
    mask: Sequence[str]

    @property
    def etag(self) -> str:
        """The etag that it was read with; empty for whatever it is now."""
        return str(getattr(self.message, "etag"))  # noqa: B009 -- All shapes have one, no base has.

    def values(self) -> dict[str, Any]:
        """Say what a file would for its fields; None for what is to be cleared."""
        return values_of(self.shape, self.message, self.mask)


@dataclass(frozen=True, slots=True)
class Changes:
    """Makes changes in the transaction of a connection, as `who`."""

    connection: Connection
    catalogue: CatalogueFiles
    audit: AuditTrail
    who: str
    now_ms: int

    @property
    def _checker(self) -> Checker:
        return Checker(self.connection, self.catalogue)

    # --- Tenants ------------------------------------------------------------------------------

    def create_tenant(self, tenant_id: str, wanted: Wanted) -> TenantRow:
        """Create a tenant. Raises `InvalidRequest` and `ResourceExists`."""
        revision = rows.next_revision(self.connection)
        if rows.find_tenant(self.connection, tenant_id) is not None:
            raise ResourceExists(f"tenant {tenant_id}")
        file = self._checker.tenant(_merged({"id": tenant_id}, wanted.values()))
        assert file.tenant is not None, "a sound file has a head"
        check_currency(TENANT, wanted.message, file.tenant.currency)
        row = TenantRow(
            tenant_id=tenant_id,
            revision=revision,
            begin_revision=revision,
            body_revision=revision,
            create_ms=self.now_ms,
            update_ms=self.now_ms,
            deleted=False,
            body=head_body(file),
        )
        rows.drop_items(self.connection, tenant_id)
        return self._put_tenant("CreateTenant", None, row)

    def update_tenant(self, tenant_id: str, wanted: Wanted) -> TenantRow:
        """Change a tenant. Raises `InvalidRequest`, `TenantForbidden` and `EtagChanged`."""
        revision = rows.next_revision(self.connection)
        before = self._tenant(tenant_id)
        _check_etag(wanted.etag, etag_of(before), f"tenant {tenant_id}")
        values = msgspec.json.decode(before.body)
        changed = wanted.values()
        for name in _FIXED.intersection(wanted.mask):
            raise InvalidRequest(f"tenant.{name}", "nothing: it cannot be changed")
        check_currency(TENANT, wanted.message, values["currency"])
        file = self._checker.tenant(_merged(values, changed))
        body = head_body(file)
        if body == before.body:
            return before
        row = replace(
            before, revision=revision, body_revision=revision, update_ms=self.now_ms, body=body
        )
        return self._put_tenant("UpdateTenant", before, row)

    def delete_tenant(self, tenant_id: str, etag: str) -> None:
        """Delete a tenant. Raises `TenantInUse`, `TenantForbidden` and `EtagChanged`."""
        revision = rows.next_revision(self.connection)
        before = self._tenant(tenant_id)
        _check_etag(etag, etag_of(before), f"tenant {tenant_id}")
        if not msgspec.json.decode(before.body).get("frozen"):
            raise TenantInUse(tenant_id)
        rows.drop_items(self.connection, tenant_id)
        drop_reports(self.connection, tenant_id)
        gone = replace(before, revision=revision, update_ms=self.now_ms, deleted=True)
        rows.put_tenant(self.connection, gone)
        what = Audited("DeleteTenant", f"tenants/{tenant_id}", tenant_id)
        self._audit(what, (before.body, None))

    # --- Users, resource accounts, service numbers --------------------------------------------

    def create_item(self, shelf: Shelf, item_id: str, wanted: Wanted) -> ItemRow:
        """Create an item. Raises `InvalidRequest`, `TenantForbidden` and `ResourceExists`."""
        revision = rows.next_revision(self.connection)
        tenant = self._tenant(shelf.tenant_id)
        if rows.find_item(self.connection, shelf, item_id) is not None:
            raise ResourceExists(_name(shelf, item_id))
        self._checker.room(tenant, ItemKind(shelf.kind))
        values = _merged({}, wanted.values())
        return self._put_item((shelf, item_id), wanted, values=values, revision=revision)

    def update_item(self, shelf: Shelf, item_id: str, wanted: Wanted) -> ItemRow:
        """Change an item. Raises `InvalidRequest`, `ResourceUnknown`, `EtagChanged`."""
        revision = rows.next_revision(self.connection)
        self._tenant(shelf.tenant_id)
        before = self._item(shelf, item_id)
        _check_etag(wanted.etag, etag_of(before), _name(shelf, item_id))
        values = _merged(msgspec.json.decode(before.body or ""), wanted.values())
        place = (shelf, item_id)
        return self._put_item(place, wanted, values=values, revision=revision, before=before)

    def delete_item(self, shelf: Shelf, item_id: str, etag: str) -> None:
        """Delete an item. Raises `ResourceInUse`, `ResourceUnknown` and `EtagChanged`."""
        revision = rows.next_revision(self.connection)
        self._tenant(shelf.tenant_id)
        before = self._item(shelf, item_id)
        _check_etag(etag, etag_of(before), _name(shelf, item_id))
        kind = ItemKind(shelf.kind)
        user = None
        if kind is ItemKind.RESOURCE_ACCOUNT:
            user = rows.speaking_of(self.connection, shelf.tenant_id, item_id)
        if user is not None:
            speaking = Shelf(shelf.tenant_id, user[0])
            raise ResourceInUse(_name(shelf, item_id), _name(speaking, user[1]))
        gone = replace(before, revision=revision, number=None, account_id="", body=None)
        section = read_item(kind, before.body or "")
        self._write_item("Delete", before, gone, moves=licence_moves(section, None))

    def _put_item(
        self,
        place: tuple[Shelf, str],
        wanted: Wanted,
        *,
        values: Mapping[str, Any],
        revision: int,
        before: ItemRow | None = None,
    ) -> ItemRow:
        shelf, item_id = place
        kind, tenant = ItemKind(shelf.kind), self._tenant(shelf.tenant_id)
        check_currency(wanted.shape, wanted.message, msgspec.json.decode(tenant.body)["currency"])
        section = self._checker.item(tenant, kind, item_id, values=values)
        body = item_body(section)
        if before is not None and before.body == body:
            return before
        held: ItemSection | None = None if before is None else read_item(kind, before.body or "")
        moves = licence_moves(held, section)
        self._checker.purchased(tenant, moves)
        row = ItemRow(
            tenant_id=tenant.tenant_id,
            kind=shelf.kind,
            item_id=item_id,
            revision=revision,
            number=number_of(kind, item_id, section),
            account_id=account_of(section),
            body=body,
        )
        self._write_item("Create" if before is None else "Update", before, row, moves=moves)
        return row

    def _write_item(
        self, verb: str, before: ItemRow | None, row: ItemRow, *, moves: Mapping[str, int]
    ) -> None:
        rows.put_item(self.connection, row)
        if moves:
            rows.move_licences(self.connection, row.tenant_id, moves)
        rows.touch_tenant(self.connection, row.tenant_id, revision=row.revision, now_ms=self.now_ms)
        kind = ItemKind(row.kind)
        resource = f"tenants/{row.tenant_id}/{kind.table}/{row.item_id}"
        images = (None if before is None else before.body, row.body)
        self._audit(Audited(f"{verb}{ITEMS[kind].name}", resource, row.tenant_id), images)

    # --- What all of them need ----------------------------------------------------------------

    def _put_tenant(self, action: str, before: TenantRow | None, row: TenantRow) -> TenantRow:
        rows.put_tenant(self.connection, row)
        images = (None if before is None else before.body, row.body)
        self._audit(Audited(action, f"tenants/{row.tenant_id}", row.tenant_id), images)
        return row

    def _tenant(self, tenant_id: str) -> TenantRow:
        tenant = rows.find_tenant(self.connection, tenant_id)
        if tenant is None:
            raise TenantForbidden
        return tenant

    def _item(self, shelf: Shelf, item_id: str) -> ItemRow:
        item = rows.find_item(self.connection, shelf, item_id)
        if item is None:
            raise ResourceUnknown(_name(shelf, item_id))
        return item

    def _audit(self, what: Audited, images: tuple[str | None, str | None]) -> None:
        before, after = (None if image is None else msgspec.json.decode(image) for image in images)
        self.audit.record(self.connection, self.who, what, before=before, after=after)


def etag_of(row: TenantRow | ItemRow) -> str:
    """Say what stands for a resource as it is now."""
    revision = row.body_revision if isinstance(row, TenantRow) else row.revision
    return f"r{revision:x}"


def _check_etag(wanted: str, found: str, name: str) -> None:
    if wanted not in {"", found}:
        raise EtagChanged(name)


def _merged(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**values, **changed}
    return {name: value for name, value in merged.items() if value is not None}


def _name(shelf: Shelf, item_id: str) -> str:
    return f"{shelf.kind.replace('_', ' ')} {item_id} of tenant {shelf.tenant_id}"
