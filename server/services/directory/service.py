"""The DirectoryService: questions from the wire, rows of the directory, answers for the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from sqlalchemy import Connection

from callgate.v1 import directory_pb2 as pb
from server.access import check_tenant, current
from server.access.errors import RoleMissing
from server.access.roles import Role
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.facts import FactsInUse
from server.facts.directory.bodies import ItemKind
from server.facts.directory.rows import Shelf
from server.facts.directory.sections import ID_PATTERN, ID_WORDS
from server.services.directory.changes import Changes, Wanted
from server.services.directory.messages import ITEMS, TENANT, Shape, mask_of
from server.services.directory.reads import Look, licences_response, restrictions_response
from server.services.directory.source import Source
from server.storage.sql.audit import AuditTrail
from server.transport.contract import Context

# What administrators of a tenant may change of it; the rest is an operator's.
POLICIES = frozenset(
    {
        *("restriction", "dial_plan", "inbound_block", "blocked_prefixes"),
        *("concurrent_calls_limit", "notices"),
    }
)
_ITEM_ID = re.compile(ID_PATTERN)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DirectoryService:
    """Answers what `directory.proto` promises."""

    source: Source
    facts: FactsInUse
    audit: AuditTrail

    # --- Tenants ------------------------------------------------------------------------------

    async def get_tenant(self, request: Any, _: Context) -> pb.GetTenantResponse:
        """Read one tenant."""
        return pb.GetTenantResponse(tenant=await self._tenant(_tenant_of(request.tenant_id)))

    async def list_tenants(self, request: Any, _: Context) -> pb.ListTenantsResponse:
        """Read one page of the tenants that who asks may touch."""
        touched = current().tenants
        return await self._look(lambda look: look.tenants(request, touched))

    async def create_tenant(self, request: Any, _: Context) -> pb.CreateTenantResponse:
        """Create a tenant."""
        tenant_id = _tenant_of(request.tenant.tenant_id, "tenant.tenant_id")
        wanted = Wanted(TENANT, request.tenant, mask_of(TENANT, request.tenant, ()))
        await self._change(lambda changes: changes.create_tenant(tenant_id, wanted))
        return pb.CreateTenantResponse(tenant=await self._tenant(tenant_id))

    async def update_tenant(self, request: Any, _: Context) -> pb.UpdateTenantResponse:
        """Change fields of a tenant."""
        tenant_id = _tenant_of(request.tenant.tenant_id, "tenant.tenant_id")
        mask = mask_of(TENANT, request.tenant, request.update_mask.paths)
        if Role.OPERATOR not in current().roles and not POLICIES.issuperset(mask):
            raise RoleMissing
        wanted = Wanted(TENANT, request.tenant, mask)
        await self._change(lambda changes: changes.update_tenant(tenant_id, wanted))
        return pb.UpdateTenantResponse(tenant=await self._tenant(tenant_id))

    async def delete_tenant(self, request: Any, _: Context) -> pb.DeleteTenantResponse:
        """Delete a tenant with all that it owns."""
        tenant_id = _tenant_of(request.tenant_id)
        await self._change(lambda changes: changes.delete_tenant(tenant_id, request.etag))
        return pb.DeleteTenantResponse()

    # --- Users, resource accounts, service numbers --------------------------------------------

    async def get_item(self, kind: ItemKind, request: Any, _: Context) -> Any:
        """Read one item."""
        shelf, item_id = _place_of(kind, request)
        return await self._item("Get", shelf, item_id)

    async def list_items(self, kind: ItemKind, request: Any, _: Context) -> Any:
        """Read one page of the items of a kind."""
        shelf = Shelf(_tenant_of(request.tenant_id), kind)
        # Service numbers, resource accounts, users: the name of the list is that of the field.
        response = _message(f"List{ITEMS[kind].name}sResponse")
        return await self._look(lambda look: look.items(shelf, request, response))

    async def create_item(self, kind: ItemKind, request: Any, _: Context) -> Any:
        """Create an item."""
        shelf, item_id, wanted = _wanted(kind, request, ())
        await self._change(lambda changes: changes.create_item(shelf, item_id, wanted))
        return await self._item("Create", shelf, item_id)

    async def update_item(self, kind: ItemKind, request: Any, _: Context) -> Any:
        """Change fields of an item."""
        shelf, item_id, wanted = _wanted(kind, request, request.update_mask.paths)
        await self._change(lambda changes: changes.update_item(shelf, item_id, wanted))
        return await self._item("Update", shelf, item_id)

    async def delete_item(self, kind: ItemKind, request: Any, _: Context) -> Any:
        """Delete an item."""
        shelf, item_id = _place_of(kind, request)
        await self._change(lambda changes: changes.delete_item(shelf, item_id, request.etag))
        return _message(f"Delete{ITEMS[kind].name}Response")

    # --- Licences and policies ----------------------------------------------------------------

    async def list_licences(self, request: Any, _: Context) -> pb.ListLicencesResponse:
        """List what licences there are, and what of them a tenant has."""
        tenant_id = _tenant_of(request.tenant_id)
        purchased, assigned = await self._look(lambda look: look.licences(tenant_id))
        tables = await self.source.tables()
        return licences_response(tables, purchased, assigned, held_only=request.held_only)

    async def list_restrictions(self, _request: Any, _: Context) -> pb.ListRestrictionsResponse:
        """List the restrictions of the catalogue."""
        return restrictions_response(await self.source.tables())

    def of_kinds(self) -> object:
        """Name the methods of each kind of item: `get_user`, `list_users`, ..."""
        return SimpleNamespace(
            **{
                name: partial(method, kind)
                for kind, shape in ITEMS.items()
                for name, method in {
                    f"get_{shape.field}": self.get_item,
                    f"list_{shape.field}s": self.list_items,
                    f"create_{shape.field}": self.create_item,
                    f"update_{shape.field}": self.update_item,
                    f"delete_{shape.field}": self.delete_item,
                }.items()
            }
        )

    # --- What all of them need ----------------------------------------------------------------

    async def _tenant(self, tenant_id: str) -> pb.Tenant:
        return await self._look(lambda look: look.tenant(tenant_id))

    async def _item(self, verb: str, shelf: Shelf, item_id: str) -> Any:
        item = await self._look(lambda look: look.item(shelf, item_id))
        shape = ITEMS[ItemKind(shelf.kind)]
        return _message(f"{verb}{shape.name}Response", **{shape.field: item})

    async def _look(self, work: Callable[[Look], Result]) -> Result:
        return await self.source.read(lambda connection: work(Look(connection, self._toll_free)))

    async def _change(self, work: Callable[[Changes], object]) -> None:
        tables, who = await self.source.tables(), current().identity_id
        now_ms = self.audit.now_ms()

        def change(connection: Connection) -> None:
            work(Changes(connection, tables, self.audit, who, now_ms))

        await self.source.write(change)

    def _toll_free(self, tenant_id: str, number: str) -> bool:
        tenant = self.facts.current.directory.tenants.get(tenant_id)
        found = tenant.service_numbers.get(number) if tenant is not None else None
        return found is not None and found.toll_free


def _message(name: str, **fields: Any) -> Any:
    return getattr(pb, name)(**fields)


def _wanted(kind: ItemKind, request: Any, paths: Any) -> tuple[Shelf, str, Wanted]:
    shape = ITEMS[kind]
    message = getattr(request, shape.field)
    shelf, item_id = _place_of(kind, message, f"{shape.field}.")
    return shelf, item_id, Wanted(shape, message, mask_of(shape, message, paths))


def _place_of(kind: ItemKind, message: Any, prefix: str = "") -> tuple[Shelf, str]:
    shape: Shape = ITEMS[kind]
    tenant_id = _tenant_of(message.tenant_id, f"{prefix}tenant_id")
    item_id = getattr(message, shape.id_field)
    if not _ITEM_ID.match(item_id):
        raise InvalidRequest(f"{prefix}{shape.id_field}", ID_WORDS)
    return Shelf(tenant_id, kind), item_id


def _tenant_of(tenant_id: str, field: str = "tenant_id") -> str:
    """Check the id of a tenant, and that it is the caller's to touch."""
    try:
        limits.tenant_id(tenant_id)
    except InvalidRequest as error:
        raise InvalidRequest(field, error.fix) from error
    check_tenant(tenant_id)
    return tenant_id
