"""Who asks, and whose facts and money a question may touch: identities, roles, tenants.

The authenticator (`server.access.authenticator`) says of each RPC who asks, before its method
runs; `current` is the answer. Whatever is read or changed of a tenant is found by `find_tenant` or
`find_tenant_by_id`, or is checked by `check_tenant`: none of them tells a tenant that is another's
from one that does not exist.
"""

from __future__ import annotations

from functools import partial

from policy.facts import Call, CallKind, Tenant
from policy.numbering import read_number
from server.access.errors import RoleMissing, TenantForbidden, TenantUnknown
from server.access.principal import ANYBODY, Principal, admitted, check_tenant, current, may_touch
from server.access.roles import Role
from server.facts.directory import Directory
from server.facts.errors import FactsBehind

__all__ = [
    "ANYBODY",
    "Principal",
    "Role",
    "RoleMissing",
    "admitted",
    "check_admitted",
    "check_every_tenant",
    "check_tenant",
    "current",
    "find_tenant",
    "find_tenant_by_id",
    "may_touch",
]


def find_tenant(call: Call, directory: Directory) -> tuple[Call, Tenant]:
    """Find the tenant of a call, by the service number called where none is named.

    Returns the call with its tenant, its service number in E.164, and its accounts as the
    directory spells them. Raises `TenantForbidden`, and
    `IdentityUnknown` or `RoleMissing` where who asks was let in for emergencies alone.
    """
    if call.kind is CallKind.SERVICE_NUMBER:
        return _find_by_service_number(call, directory)
    tenant = find_tenant_by_id(call.tenant_id, directory)
    if tenant.folded_names:
        call = call._replace(account_ids=tuple(map(tenant.name_of, call.account_ids)))
    return call, tenant


def find_tenant_by_id(tenant_id: str, directory: Directory) -> Tenant:
    """Find a tenant by its id. Raises what `find_tenant` raises.

    One that is not here may be new: who answers looks for it, and asks once more, before it says
    that it is forbidden. So nothing may be done before the tenant is found.
    """
    tenant = directory.tenants.get(tenant_id)
    check_tenant(tenant_id)
    if tenant is not None:
        return tenant
    if not directory.complete:
        # Who may touch it learns nothing new: whether it exists is not known here yet.
        raise FactsBehind(tenant_id)
    if directory.look_for is not None:
        raise TenantUnknown(partial(directory.look_for, tenant_id))
    raise TenantForbidden


def check_admitted() -> None:
    """Raise `IdentityUnknown` or `RoleMissing` where who asks was let in for emergencies alone."""
    refused = current().refused
    if refused is not None:
        raise refused


def check_every_tenant() -> None:
    """Raise `TenantForbidden` where who asks may not touch every tenant there is."""
    check_admitted()
    if current().tenants is not None:
        raise TenantForbidden


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
