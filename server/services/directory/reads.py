"""Looking at the directory: rows into messages, in the transaction that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from google.protobuf.message import Message
from sqlalchemy import Connection

from callgate.v1 import directory_pb2 as pb
from server.access.errors import TenantForbidden
from server.calls.messages.parts import set_time
from server.facts.catalogue import CatalogueFiles
from server.facts.directory import rows
from server.facts.directory.bodies import ItemKind, read_head, read_item
from server.facts.directory.rows import ItemFilter, ItemRow, Shelf, TenantRow
from server.facts.errors import ResourceUnknown
from server.facts.files.problems import Problems
from server.services.directory.changes import etag_of
from server.services.directory.messages import ITEMS, TENANT, fill
from server.services.paging import Page, read_page

# What the catalogue knows of a service number that was built.
TollFree = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Look:
    """Reads in the transaction of a connection. Raises `TenantForbidden`, `ResourceUnknown`."""

    connection: Connection
    toll_free: TollFree

    def tenant(self, tenant_id: str) -> pb.Tenant:
        """Read one tenant."""
        return _tenant(self._tenant(tenant_id))

    def tenants(
        self, request: pb.ListTenantsRequest, touched: frozenset[str] | None
    ) -> pb.ListTenantsResponse:
        """Read one page of tenants, of those in `touched` where it is given."""
        page = read_page(("tenants", request.prefix), request.page_size, request.page_token)
        found: list[TenantRow] = []
        after = page.after
        while len(found) <= page.size:
            more = rows.tenants_after(self.connection, after, page.size + 1)
            found += [row for row in more if _listed(row, request.prefix, touched)]
            if len(more) <= page.size:
                break
            after = more[-1].tenant_id
        listed = found[: page.size]
        response = pb.ListTenantsResponse(tenants=map(_tenant, listed))
        if len(found) > page.size:
            response.next_page_token = page.token_after(listed[-1].tenant_id)
        return response

    def item(self, shelf: Shelf, item_id: str) -> Message:
        """Read one item."""
        tenant = self._tenant(shelf.tenant_id)
        row = rows.find_item(self.connection, shelf, item_id)
        if row is None:
            name = f"{shelf.kind.replace('_', ' ')} {item_id}"
            raise ResourceUnknown(f"{name} of tenant {shelf.tenant_id}")
        return self._item(row, _currency(tenant))

    def items(self, shelf: Shelf, request: Any, response: Any) -> Any:
        """Read one page of the items of a kind into a response."""
        tenant = self._tenant(shelf.tenant_id)
        wanted, page = _filter(shelf, request)
        found = rows.items_after(
            self.connection, shelf, page.after, limit=page.size + 1, wanted=wanted
        )
        listed = found[: page.size]
        items = getattr(response, ItemKind(shelf.kind).table)
        items.extend(self._item(row, _currency(tenant)) for row in listed)
        if len(found) > page.size:
            response.next_page_token = page.token_after(listed[-1].item_id)
        return response

    def licences(self, tenant_id: str) -> tuple[dict[str, int], dict[str, int]]:
        """Count a tenant's licences by name: those bought, those assigned."""
        tenant = self._tenant(tenant_id)
        file = read_head(tenant_id, tenant.body, Problems())
        purchased = {name.upper(): count for name, count in file.purchased.items()}
        return purchased, rows.assigned_licences(self.connection, tenant_id)

    def _tenant(self, tenant_id: str) -> TenantRow:
        row = rows.find_tenant(self.connection, tenant_id)
        if row is None:
            raise TenantForbidden
        return row

    def _item(self, row: ItemRow, currency: str) -> Message:
        kind = ItemKind(row.kind)
        shape = ITEMS[kind]
        message: Any = shape.message(tenant_id=row.tenant_id)
        setattr(message, shape.id_field, row.item_id)
        section = read_item(kind, row.body or "")
        values = {name: getattr(section, name) for name in section.__struct_fields__}
        fill(shape, message, _said(values), currency=currency)
        message.etag = etag_of(row)
        if kind is ItemKind.SERVICE_NUMBER:
            message.toll_free = self.toll_free(row.tenant_id, row.item_id)
        return cast("Message", message)


def licences_response(
    tables: CatalogueFiles, purchased: dict[str, int], assigned: dict[str, int], *, held_only: bool
) -> pb.ListLicencesResponse:
    """List the licences of the catalogue, with what a tenant has of each."""
    response = pb.ListLicencesResponse()
    for name, sku in sorted(tables.skus.items()):
        if held_only and name not in purchased and not assigned.get(name):
            continue
        licence = response.licences.add(
            name=name,
            product=sku.product,
            capabilities=sorted(sku.capabilities),
            plan=sku.plan,
            assigned_count=assigned.get(name, 0),
        )
        if name in purchased:
            licence.purchased_count = purchased[name]
    return response


def restrictions_response(tables: CatalogueFiles) -> pb.ListRestrictionsResponse:
    """List the restrictions of the catalogue."""
    return pb.ListRestrictionsResponse(
        restrictions=[
            pb.Restriction(
                identity=each.identity,
                conference_scope=each.conference_scope.value,
                pstn_scope=each.pstn_scope.value,
            )
            for _, each in sorted(tables.restrictions.items())
        ]
    )


def _listed(row: TenantRow, prefix: str, touched: frozenset[str] | None) -> bool:
    return row.tenant_id.startswith(prefix) and (touched is None or row.tenant_id in touched)


def _filter(shelf: Shelf, request: Any) -> tuple[ItemFilter, Page]:
    """Read which items are wanted, and which page of them."""
    licence, frozen = "", False
    if isinstance(request, pb.ListUsersRequest):
        licence, frozen = request.licence.upper(), request.frozen_only
    holding = [f'"{licence}"'] if licence else []
    holding += ['"frozen":true'] if frozen else []
    of = (*shelf, request.prefix, licence, str(frozen))
    page = read_page(of, request.page_size, request.page_token)
    return ItemFilter(request.prefix, tuple(holding)), page


def _tenant(row: TenantRow) -> pb.Tenant:
    message = pb.Tenant(tenant_id=row.tenant_id, etag=etag_of(row))
    file = read_head(row.tenant_id, row.body, Problems())
    assert file.tenant is not None, "a head was sound when it was written"
    head = file.tenant
    values: dict[str, Any] = {name: getattr(head, name) for name in head.__struct_fields__}
    values["licences_purchased"] = file.purchased
    values["dial_plan"] = msgspec.to_builtins(file.dial_plan)
    if file.inbound_block is not None:
        values["inbound_block"] = msgspec.to_builtins(file.inbound_block)
    if file.notices is not None:
        values["notices"] = _said(msgspec.to_builtins(file.notices))
    fill(TENANT, message, _said(values), currency=head.currency)
    set_time(message.create_time, row.create_ms)
    set_time(message.update_time, row.update_ms)
    return message


def _currency(tenant: TenantRow) -> str:
    return str(msgspec.json.decode(tenant.body)["currency"])


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
