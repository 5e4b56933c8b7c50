"""Reading the folder of the directory as a whole: every tenant, and that none takes another's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from policy.facts import Tenant
from server.facts.catalogue import CatalogueFiles
from server.facts.directory.tenant import build_tenant
from server.facts.directory.tenant_file import (
    KeyPath,
    TenantFile,
    read_tenant_file,
    read_tenant_values,
)
from server.facts.files.problems import Problems

MAX_TENANTS = 20_000


@dataclass(frozen=True, slots=True)
class DirectoryFiles:
    """The tenants of a folder, and the file that each was read from, by id."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)


def read_directory(folder: Path, catalogue: CatalogueFiles, problems: Problems) -> DirectoryFiles:
    """Read one tenant from each TOML file of the folder and note every mistake.

    With any mistake the result is not to be served.
    """
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        problems.add(folder, 0, "", "holds no tenant; give each a file, such as contoso.toml")
    if len(paths) > MAX_TENANTS:
        problems.add(
            folder, 0, "", f"holds {len(paths)} tenants; at most {MAX_TENANTS} are allowed"
        )
    read = DirectoryFiles()
    holders: dict[str, str] = {}
    for path in paths:
        file = read_tenant_file(path, problems)
        tenant = build_tenant(file, catalogue)
        if tenant is None:
            continue
        if tenant.tenant_id in read.paths:
            other = read.paths[tenant.tenant_id].name
            file.note(("id",), f"is {tenant.tenant_id!r}, the id in {other}; give another")
        read.paths[tenant.tenant_id] = path
        read.tenants[tenant.tenant_id] = tenant
        _check_numbers(file, tenant, holders)
    return read


def read_tenant(  # noqa: PLR0917 -- Where it stands, what it says, by what, who notes.
    path: Path, values: Mapping[str, Any], catalogue: CatalogueFiles, problems: Problems
) -> Tenant | None:
    """Read one tenant as if its file held `values`, and note every mistake."""
    return build_tenant(read_tenant_values(path, values, problems), catalogue)


def _check_numbers(file: TenantFile, tenant: Tenant, holders: dict[str, str]) -> None:
    """Note a number that somebody else has, in this tenant or another."""
    for at, number in _numbers(tenant):
        holder = f"{'.'.join(str(part) for part in at)} of {tenant.tenant_id}"
        if number in holders:
            file.note(at, f"{number} is already {holders[number]}; a number has one holder")
        holders[number] = holder


def _numbers(tenant: Tenant) -> Iterator[tuple[KeyPath, str]]:
    for user in tenant.users.values():
        if user.number:
            yield ("users", user.user_id, "number"), user.number
    for number in tenant.service_numbers:
        yield ("service_numbers", number), number


@dataclass(slots=True)
class Directory:
    """All tenants now in use, each replaced whole. Only its keeper changes it.

    `service_numbers` maps a service number in E.164 to the id of the tenant that has it. While it
    is not `complete`, a tenant that is not here may exist all the same.
    """

    tenants: dict[str, Tenant] = field(default_factory=dict)
    service_numbers: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    # Looks whether a tenant that is not here is new; see `FactsInUse.look_for`.
    look_for: Callable[[str], Awaitable[None]] | None = None

    # Of all tenants, in any order.
    _digests_sum: int = 0

    @property
    def version(self) -> str:
        """What is the same in directories of the same tenants."""
        return f"{self._digests_sum % _VERSIONS:016x}"

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
        self._digests_sum += _number_of(tenant)
        for number in tenant.service_numbers:
            self.service_numbers[number] = tenant.tenant_id

    def drop(self, tenant_id: str) -> None:
        """Forget a tenant. A number that another one has taken meanwhile stays with that one."""
        gone = self.tenants.pop(tenant_id, None)
        self._digests_sum -= _number_of(gone) if gone is not None else 0
        for number in gone.service_numbers if gone is not None else ():
            if self.service_numbers.get(number) == tenant_id:
                del self.service_numbers[number]


_VERSION_BYTES = 8
_VERSIONS = 1 << (8 * _VERSION_BYTES)


def _number_of(tenant: Tenant) -> int:
    name = f"{tenant.tenant_id} {tenant.digest}".encode()
    return int.from_bytes(blake2b(name, digest_size=_VERSION_BYTES).digest(), "big")
