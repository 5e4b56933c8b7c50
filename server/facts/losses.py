"""What would be lost with facts that were read anew: a file that was cut short may be sound."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from policy.facts import Catalogue, Tenant

if TYPE_CHECKING:
    from server.facts.reload import Differences

_PERCENT = 100
# Of a tenant, and of a catalogue.
_OF_TENANT = ("users", "resource_accounts", "service_numbers")
_BY_CURRENCY = ("rates", "toll_free_rates", "toll_rates")


@dataclass(frozen=True, slots=True)
class Loss:
    """Entries of one table that would go; `name` is what the loss is asked for by."""

    name: str
    lost: int
    before: int

    def is_too_much(self, most_percent: int) -> bool:
        """Tell whether it is more than that share. A single entry may always go."""
        return self.lost > 1 and self.lost * _PERCENT > most_percent * self.before

    def refused(self, most_percent: int) -> str:
        """Tell an operator why it was refused, and how it is asked for."""
        return (
            f"{self.name}: {self.lost} of {self.before} would go, more than {most_percent} %; a "
            "file may have been cut short. If that is meant: python -m server reload "
            f"--losing {self.name}"
        )


def losses(
    catalogue: Catalogue,
    tenants: Mapping[str, Tenant],
    found: Differences,
    *,
    with_tenants: bool,
) -> Iterator[Loss]:
    """Yield what facts that were read anew lack of those in use."""
    if found.catalogue is not None:
        yield _loss("prefixes", catalogue.destinations, found.catalogue.destinations)
        for table in _BY_CURRENCY:
            before: Mapping[str, Any] = getattr(catalogue, table)
            after: Mapping[str, Any] = getattr(found.catalogue, table)
            for currency, rows in before.items():
                yield _loss(f"{table}/{currency}", rows, after.get(currency, {}))
    if with_tenants:
        yield _loss("tenants", tenants, found.tenant_ids)
    for tenant in found.tenants:
        was = tenants.get(tenant.tenant_id)
        if was is not None:
            for table in _OF_TENANT:
                name = f"{table}/{tenant.tenant_id}"
                yield _loss(name, getattr(was, table), getattr(tenant, table))


def _loss(name: str, before: Collection[Any], after: Collection[Any]) -> Loss:
    return Loss(name, sum(each not in after for each in before), len(before))
