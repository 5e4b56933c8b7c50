"""A tenant built from the archive, or a little further from what changed there."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec

from policy.facts import ResourceAccount, ServiceNumber, Tenant, User
from policy.pools import Holdings
from server.facts.catalogue import CatalogueFiles
from server.facts.directory.accounts import AccountReader
from server.facts.directory.bodies import ItemKind, read_head, read_item
from server.facts.directory.digest import Item, moved_sum, with_digest
from server.facts.directory.numbers import NumberReader
from server.facts.directory.sections import (
    ResourceAccountSection,
    ServiceNumberSection,
    UserSection,
)
from server.facts.directory.tenant import build_head
from server.facts.files.problems import Problems


@dataclass(frozen=True, slots=True)
class Built:
    """A tenant as of a revision of the archive, and what it takes to build the next one on it."""

    tenant: Tenant
    revision: int
    items_sum: int
    holdings: Holdings


class TenantBuilder:
    """Builds one tenant, on what was built before or from nothing.

    Its own copy is changed item by item, so that a caller may pause between any two.
    """

    def __init__(
        self, tenant_id: str, head: str, catalogue: CatalogueFiles, *, base: Built | None = None
    ) -> None:
        self.tenant_id = tenant_id
        # What was taken: kinds, ids and bodies.
        self.taken: list[tuple[str, str, str | None]] = []
        self.begun_at = time.monotonic()
        self._catalogue = catalogue
        self._users: dict[str, User] = dict(base.tenant.users) if base else {}
        accounts = base.tenant.resource_accounts if base else {}
        self._accounts: dict[str, ResourceAccount] = dict(accounts)
        self._numbers: dict[str, ServiceNumber] = dict(base.tenant.service_numbers) if base else {}
        self._sum = base.items_sum if base else 0
        self._holdings = base.holdings.copy() if base else Holdings()
        self._problems = Problems()
        self.take_head(head)

    def take_head(self, head: str) -> None:
        """Take what the tenant says of itself."""
        self._file = read_head(self.tenant_id, head, self._problems)
        # Only their names are looked at; sections of accounts that are built already are gone.
        known = ResourceAccountSection(usage_location="ZZ")
        self._file.resource_accounts = dict.fromkeys(self._accounts, known)
        self._reader = AccountReader(self._file, self._catalogue)
        head_read = self._file.tenant
        self._number_reader = NumberReader(
            self._file,
            self._catalogue,
            head_read.currency if head_read else "",
            head_read is not None and head_read.per_minute_conferencing,
        )

    def take(self, kind: ItemKind, item_id: str, body: str | None) -> None:
        """Take an item, new or changed; without a body it is gone."""
        self.taken.append((kind.value, item_id, body))
        come = None if body is None else self._build(kind, item_id, body)
        table: dict[str, Item] = {
            ItemKind.USER: self._users,
            ItemKind.RESOURCE_ACCOUNT: self._accounts,
            ItemKind.SERVICE_NUMBER: self._numbers,
        }[kind]  # type: ignore[assignment] # What is built of a kind belongs into its table.
        gone = table.pop(item_id, None)
        if isinstance(gone, User | ResourceAccount):
            self._holdings.remove(gone)
        if come is not None:
            table[item_id] = come
        if isinstance(come, User | ResourceAccount):
            self._holdings.add(come)
        self._sum = moved_sum(self._sum, gone=gone, come=come)

    def finish(self, revision: int) -> Built:
        """Return the whole. Raises `InvalidFacts` where it does not fit the catalogue."""
        head = build_head(self._reader, self._holdings)
        self._problems.raise_if_any()
        assert head is not None, "without a sound head there are mistakes"
        tenant = replace(
            head,
            users=self._users,
            resource_accounts=self._accounts,
            service_numbers=self._numbers,
        )
        return Built(with_digest(tenant, self._sum), revision, self._sum, self._holdings)

    def _build(self, kind: ItemKind, item_id: str, body: str) -> Item | None:
        try:
            section = read_item(kind, body)
        except msgspec.ValidationError as error:
            self._file.note((kind.table, item_id), str(error))
            return None
        match section:
            case UserSection():
                return self._reader.user(item_id, section)
            case ResourceAccountSection():
                self._file.resource_accounts[item_id] = section
                return self._reader.resource_account(item_id, section)
            case ServiceNumberSection():
                return self._number_reader.service_number(item_id, section)
