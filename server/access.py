"""Whose facts a question may touch; until callers have identities, those of the tenant it names."""

from __future__ import annotations

from policy.facts import Call, CallKind, Tenant
from policy.numbering import read_number
from server.directory import Directory
from server.errors import TenantForbidden


def find_tenant(call: Call, directory: Directory) -> tuple[Call, Tenant]:
    """Find the tenant of a call, by the service number called where none is named.

    Returns the call with its tenant and its service number in E.164. Raises `TenantForbidden`.
    """
    if call.kind is CallKind.SERVICE_NUMBER:
        return _find_by_service_number(call, directory)
    return call, find_tenant_by_id(call.tenant_id, directory)


def find_tenant_by_id(tenant_id: str, directory: Directory) -> Tenant:
    """Find a tenant by its id. Raises `TenantForbidden`."""
    tenant = directory.tenants.get(tenant_id)
    if tenant is None:
        raise TenantForbidden
    return tenant


def _find_by_service_number(call: Call, directory: Directory) -> tuple[Call, Tenant]:
    if call.tenant_id:
        tenant = find_tenant_by_id(call.tenant_id, directory)
        number = read_number(call.called_number, tenant.country, tenant.dial_plan)
    else:
        # Without a country only the international spelling is left, its "+" perhaps lost.
        number = read_number("+" + call.called_number.removeprefix("+"), "")
        tenant = find_tenant_by_id(directory.service_numbers.get(number or "", ""), directory)
    found = call._replace(tenant_id=tenant.tenant_id, service_number=number or call.called_number)
    return found, tenant
