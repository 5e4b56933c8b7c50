"""The checks of one change: the same reading that files go through, and what only all can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from policy.pools import Holdings
from server.calls.messages.fields import InvalidRequest
from server.facts.catalogue import CatalogueFiles
from server.facts.directory import rows
from server.facts.directory.accounts import AccountReader
from server.facts.directory.bodies import (
    ItemKind,
    ItemSection,
    account_of,
    licences_of,
    number_of,
    read_head,
    read_item,
)
from server.facts.directory.numbers import NumberReader
from server.facts.directory.rows import Shelf, TenantRow
from server.facts.directory.sections import (
    ResourceAccountSection,
    ServiceNumberSection,
    UserSection,
)
from server.facts.directory.tenant import build_head
from server.facts.directory.tenant_file import (
    MAX_RESOURCE_ACCOUNTS,
    MAX_SERVICE_NUMBERS,
    MAX_USERS,
    TenantFile,
    read_tenant_values,
)
from server.facts.files.problems import InvalidFacts, Problems
from server.services.directory.messages import ITEMS, TENANT, Shape, proto_name_of

LIMITS: Mapping[ItemKind, int] = {
    ItemKind.USER: MAX_USERS,
    ItemKind.RESOURCE_ACCOUNT: MAX_RESOURCE_ACCOUNTS,
    ItemKind.SERVICE_NUMBER: MAX_SERVICE_NUMBERS,
}
_NOBODY = Path("request")


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks what a tenant would be after a change, in the transaction that makes it.

    Everything raises `InvalidRequest` with the first mistake.
    """

    connection: Connection
    catalogue: CatalogueFiles

    def tenant(self, values: Mapping[str, Any]) -> TenantFile:
        """Check what a tenant says of itself; its items stay as they are."""
        problems = Problems()
        file = read_tenant_values(_NOBODY, values, problems)
        reader = AccountReader(file, self.catalogue)
        build_head(reader, Holdings())
        tenant_id = str(values["id"])
        reader.check_purchased(rows.assigned_licences(self.connection, tenant_id))
        _raise_first(problems, TENANT, "")
        assert file.tenant is not None, "a head without mistakes was read"
        if file.tenant.per_minute_conferencing:
            self._check_numbers(tenant_id, file)
        return file

    def item(
        self, tenant: TenantRow, kind: ItemKind, item_id: str, *, values: Mapping[str, Any]
    ) -> ItemSection:
        """Check one item; that its number is free and its licences were bought, too."""
        problems = Problems()
        head = msgspec.json.decode(tenant.body)
        file = read_tenant_values(_NOBODY, {**head, kind.table: {item_id: dict(values)}}, problems)
        shape, prefix = ITEMS[kind], _path(kind.table, item_id)
        _raise_first(problems, shape, prefix)
        section: ItemSection = getattr(file, kind.table)[item_id]
        self._add_named(file, tenant.tenant_id, item_id, section=section)
        reader = AccountReader(file, self.catalogue)
        match section:
            case UserSection():
                reader.user(item_id, section)
            case ResourceAccountSection():
                reader.resource_account(item_id, section)
            case ServiceNumberSection():
                self._number_reader(file).service_number(item_id, section)
        _raise_first(problems, shape, prefix)
        self._check_holder(Shelf(tenant.tenant_id, kind), item_id, section)
        return section

    def purchased(self, tenant: TenantRow, moves: Mapping[str, int]) -> None:
        """Check that of no licence more are assigned than were bought, after these moves."""
        problems = Problems()
        file = read_head(tenant.tenant_id, tenant.body, problems)
        bought = {name.upper(): count for name, count in file.purchased.items()}
        assigned = rows.assigned_licences(self.connection, tenant.tenant_id)
        for licence, count in moves.items():
            given = assigned.get(licence, 0) + count
            if count > 0 and licence in bought and given > bought[licence]:
                text = f"licences that are left: of {licence} {bought[licence]} were bought"
                raise InvalidRequest("licences", f"{text}, and all are assigned")

    def room(self, tenant: TenantRow, kind: ItemKind) -> None:
        """Check that a tenant may have one more of a kind."""
        count = rows.count_items(self.connection, tenant.tenant_id).get(kind, 0)
        if count >= LIMITS[kind]:
            shape = ITEMS[kind]
            raise InvalidRequest(shape.field, f"no more: a tenant has at most {LIMITS[kind]}")

    def _add_named(
        self, file: TenantFile, tenant_id: str, item_id: str, *, section: ItemSection
    ) -> None:
        """Let the file name those others that the item speaks of, where they exist."""
        account_id = account_of(section)
        named = Shelf(tenant_id, ItemKind.RESOURCE_ACCOUNT)
        if account_id and rows.known_ids(self.connection, named, [account_id]):
            file.resource_accounts[account_id] = ResourceAccountSection(usage_location="ZZ")
        users = Shelf(tenant_id, ItemKind.USER)
        if isinstance(section, ResourceAccountSection):
            for name in rows.known_ids(self.connection, users, [item_id]):
                file.users[name] = UserSection(usage_location="ZZ")
        elif isinstance(section, UserSection) and rows.known_ids(self.connection, named, [item_id]):
            raise InvalidRequest("user.user_id", "another: a resource account has this id")

    def _check_holder(self, shelf: Shelf, item_id: str, section: ItemSection) -> None:
        number = number_of(ItemKind(shelf.kind), item_id, section)
        if number is None:
            return
        holder = rows.holders(self.connection, [number]).get(number)
        if holder is not None and holder != (shelf.tenant_id, shelf.kind, item_id):
            # Who of another tenant has it is nobody's business here.
            who = f"{holder[1]} {holder[2]}" if holder[0] == shelf.tenant_id else "somebody else"
            shape = ITEMS[ItemKind(shelf.kind)]
            raise InvalidRequest(
                f"{shape.field}.number", f"a number that nobody has; {who} has {number}"
            )

    def _check_numbers(self, tenant_id: str, file: TenantFile) -> None:
        """Check that bridges have a rate, where their callers are to pay by the minute."""
        problems, after = file.problems, ""
        reader, shelf = self._number_reader(file), Shelf(tenant_id, ItemKind.SERVICE_NUMBER)
        for account_id in self._accounts(tenant_id):
            file.resource_accounts[account_id] = ResourceAccountSection(usage_location="ZZ")
        while page := rows.items_after(self.connection, shelf, after, limit=1_000):
            for row in page:
                section = read_item(ItemKind.SERVICE_NUMBER, row.body or "")
                assert isinstance(section, ServiceNumberSection), "of its kind"
                reader.service_number(row.item_id, section)
            after = page[-1].item_id
        _raise_first(problems, TENANT, "")

    def _accounts(self, tenant_id: str) -> list[str]:
        shelf = Shelf(tenant_id, ItemKind.RESOURCE_ACCOUNT)
        found = rows.items_after(self.connection, shelf, "", limit=MAX_RESOURCE_ACCOUNTS)
        return [row.item_id for row in found]

    def _number_reader(self, file: TenantFile) -> NumberReader:
        assert file.tenant is not None, "the tenant's head was sound when it was written"
        head = file.tenant
        return NumberReader(file, self.catalogue, head.currency, head.per_minute_conferencing)


def licence_moves(before: ItemSection | None, after: ItemSection | None) -> dict[str, int]:
    """Say which licences are assigned more often, or less, after a change."""
    moves: dict[str, int] = {}
    for section, count in ((before, -1), (after, 1)):
        for name in licences_of(section) if section is not None else ():
            moves[name] = moves.get(name, 0) + count
    return {name: count for name, count in moves.items() if count}


def _path(table: str, item_id: str) -> str:
    return f'{table}."{item_id}"' if "." in item_id else f"{table}.{item_id}"


def _raise_first(problems: Problems, shape: Shape, prefix: str) -> None:
    """Tell the first mistake by the field of the request it is about."""
    try:
        problems.raise_if_any()
    except InvalidFacts as error:
        first = error.problems[0]
        rest = first.field.removeprefix(prefix).lstrip(".")
        if not rest:
            raise InvalidRequest(f"{shape.field}.{shape.id_field}", first.text) from error
        field, dot, more = rest.partition(".")
        raise InvalidRequest(
            f"{shape.field}.{proto_name_of(field)}{dot}{more}", first.text
        ) from error
