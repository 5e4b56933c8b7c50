"""Who may do what with the directory, beyond what the table of roles says of whole methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import Connection

from archives import TIME_MS
from callgate.v1 import directory_pb2 as pb
from callgate.v1.money_pb2 import Money
from directories import USERS, ArchivedDirectory, a_tenant_message, a_user_message
from server.access import Principal, admitted
from server.access.errors import RoleMissing, TenantForbidden
from server.access.roles import Role
from server.facts.catalogue import CatalogueFiles
from server.services.directory.service import DirectoryService
from server.storage.sql.audit import AuditTrail
from switchboards import FixedFacts

ADMINISTRATOR = Principal("ann", frozenset({Role.TENANT_ADMINISTRATOR}), frozenset({"contoso"}))
OPERATOR = Principal("otto", frozenset({Role.OPERATOR}), None)
CONTEXT: Any = None


class InDatabase:
    """Reads and writes the rows of one database, and nothing follows them."""

    def __init__(self, directory: ArchivedDirectory) -> None:
        self._directory = directory

    async def tables(self) -> CatalogueFiles:
        return self._directory.catalogue

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        return await self._directory.database.read(work)

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        return await self._directory.database.write(work)


@pytest.fixture
async def service(directory: ArchivedDirectory) -> DirectoryService:
    """Contoso with adele, and fabrikam."""
    await directory.create(USERS, a_user_message())
    await directory.create_tenant(a_tenant_message("fabrikam"))
    source = cast("Any", InDatabase(directory))
    facts = cast("Any", FixedFacts())
    audit = AuditTrail(lambda: TIME_MS)
    return DirectoryService(source, facts, audit)


def an_update(*paths: str, **fields: Any) -> pb.UpdateTenantRequest:
    tenant = pb.Tenant(tenant_id="contoso", **fields)
    return pb.UpdateTenantRequest(tenant=tenant, update_mask=FieldMask(paths=paths))


async def test_an_administrator_sets_policies_and_an_operator_all_else(
    service: DirectoryService,
) -> None:
    policy = an_update("blocked_prefixes", blocked_prefixes=["1900"])
    money = an_update("overdraft", overdraft=Money(micros=1_000_000))

    with admitted(ADMINISTRATOR):
        changed = await service.update_tenant(policy, CONTEXT)
        with pytest.raises(RoleMissing):
            await service.update_tenant(money, CONTEXT)
    with admitted(OPERATOR):
        granted = await service.update_tenant(money, CONTEXT)

    assert list(changed.tenant.blocked_prefixes) == ["1900"]
    assert granted.tenant.overdraft == Money(micros=1_000_000, currency_code="EUR")


async def test_who_changed_what_is_told_by_name(
    service: DirectoryService, directory: ArchivedDirectory
) -> None:
    with admitted(ADMINISTRATOR):
        await service.update_tenant(an_update("restriction"), CONTEXT)
        await service.update_tenant(an_update("concurrent_calls_limit"), CONTEXT)
        await service.update_tenant(
            an_update("concurrent_calls_limit", concurrent_calls_limit=3), CONTEXT
        )

    assert (await directory.audit())[-1][:2] == ("UpdateTenant", "tenants/contoso")


async def test_anothers_tenant_is_neither_listed_nor_read_nor_changed(
    service: DirectoryService,
) -> None:
    """J1: the same text as for one that does not exist."""
    of_fabrikam = pb.ListUsersRequest(tenant_id="fabrikam")
    of_nobody = pb.ListUsersRequest(tenant_id="nobody")
    created = pb.CreateUserRequest(user=a_user_message("eve", tenant_id="fabrikam"))

    with admitted(ADMINISTRATOR):
        listed = await service.list_tenants(pb.ListTenantsRequest(), CONTEXT)
        for asking in (
            service.list_items(USERS, of_fabrikam, CONTEXT),
            service.list_items(USERS, of_nobody, CONTEXT),
            service.create_item(USERS, created, CONTEXT),
            service.list_licences(pb.ListLicencesRequest(tenant_id="fabrikam"), CONTEXT),
        ):
            with pytest.raises(TenantForbidden):
                await asking

    assert [tenant.tenant_id for tenant in listed.tenants] == ["contoso"]
