"""The tenants in memory, found by their id or by a service number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policy.facts import Tenant


@dataclass(slots=True)
class Directory:
    """All tenants now in use, each replaced whole. Only its keeper changes it.

    `service_numbers` maps a service number in E.164 to the id of the tenant that has it. While it
    is not `complete`, a tenant that is not here may exist all the same.
    """

    tenants: dict[str, Tenant] = field(default_factory=dict)
    service_numbers: dict[str, str] = field(default_factory=dict)
    complete: bool = True

    @classmethod
    def of(cls, tenants: Iterable[Tenant]) -> Directory:
        """Make a directory of tenants whose numbers do not overlap."""
        directory = cls()
        for tenant in tenants:
            directory.put(tenant)
        return directory

    def put(self, tenant: Tenant) -> None:
        """Take a tenant over, in place of the one with its id."""
        self.drop(tenant.tenant_id)
        self.tenants[tenant.tenant_id] = tenant
        for number in tenant.service_numbers:
            self.service_numbers[number] = tenant.tenant_id

    def drop(self, tenant_id: str) -> None:
        """Forget a tenant. A number that another one has taken meanwhile stays with that one."""
        gone = self.tenants.pop(tenant_id, None)
        for number in gone.service_numbers if gone is not None else ():
            if self.service_numbers.get(number) == tenant_id:
                del self.service_numbers[number]
