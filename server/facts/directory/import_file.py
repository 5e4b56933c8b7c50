"""A file to import, read: what its tenant would be, given what there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection

from server.facts.directory import rows
from server.facts.directory.bodies import ItemKind, read_item
from server.facts.directory.differences import Bodies
from server.facts.directory.rows import Shelf, TenantRow
from server.facts.directory.tenant_file import (
    MAX_USERS,
    TenantFile,
    add_user,
    read_tenant_text,
    read_tenant_values,
)
from server.facts.directory.users_csv import read_users
from server.facts.files.problems import Problems

_PAGE_ROWS = 5_000
# How often it is told how far the reading is.
_USERS_A_STEP = 5_000
# As questions name tenants; files allow a little more.
_TENANT_ID = re.compile(r"[a-z0-9._-]{1,64}")

Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Old:
    """A tenant as it is in the archive; no row where there is none."""

    row: TenantRow | None
    bodies: Bodies


def read_old(connection: Connection, tenant_id: str) -> Old:
    """Read a tenant and all that it owns."""
    row = rows.find_tenant(connection, tenant_id)
    bodies: dict[ItemKind, dict[str, str]] = {kind: {} for kind in ItemKind}
    for kind in ItemKind if row is not None else ():
        after = ""
        while page := rows.items_after(connection, Shelf(tenant_id, kind), after, limit=_PAGE_ROWS):
            bodies[kind] |= {item.item_id: item.body or "" for item in page}
            after = page[-1].item_id
    return Old(row, bodies)


class Imported(Protocol):
    """A file that was read as far as it tells by itself."""

    @property
    def tenant_id(self) -> str:
        """Whose file it is."""

    @property
    def count(self) -> int:
        """How many parts its reading has."""

    def file_for(self, old: Old, problems: Problems, told: Told) -> TenantFile:
        """Say what the tenant would be, and note what is wrong; `told` hears how far it is."""


@dataclass(frozen=True, slots=True)
class ImportedTenant:
    """A whole tenant."""

    tenant_id: str
    path: Path
    text: str
    count: int = 1

    def file_for(self, old: Old, problems: Problems, told: Told) -> TenantFile:
        """Read the file; what it does not speak of goes."""
        file = read_tenant_text(self.path, self.text, problems)
        told(self.count)
        head = file.tenant
        if head is None:
            problems.raise_if_any()
        assert head is not None, "without a head there are mistakes"
        if not _TENANT_ID.fullmatch(head.id):
            file.note(("id",), "is no id; give 1 to 64 of a-z, 0-9, '.', '_' and '-'")
        currency = None if old.row is None else msgspec.json.decode(old.row.body)["currency"]
        if currency not in {None, head.currency}:
            text = f"is {head.currency!r}, but the account of the tenant is in {currency}"
            file.note(("currency",), f"{text}; leave it so")
        return file


@dataclass(frozen=True, slots=True)
class ImportedUsers:
    """Users of a tenant that there is: by line and id, the fields that their columns say."""

    tenant_id: str
    path: Path
    users: Mapping[str, tuple[int, dict[str, Any]]]
    remove_missing: bool
    problems: Problems = field(default_factory=Problems)

    @property
    def count(self) -> int:
        """How many users the file speaks of."""
        return len(self.users)

    def file_for(self, old: Old, problems: Problems, told: Told) -> TenantFile:
        """Put the users into what there is; a column that is left out leaves a field as it is."""
        problems.extend(self.problems)
        if old.row is None:
            problems.add(self.path, 0, "", f"there is no tenant {self.tenant_id}; import it first")
            problems.raise_if_any()
        assert old.row is not None, "a tenant that is not there is a mistake"
        file = read_tenant_values(self.path, msgspec.json.decode(old.row.body), problems)
        for kind in ItemKind:
            kept = old.bodies[kind]
            if kind is ItemKind.USER:
                kept = {} if self.remove_missing else _without(kept, self.users)
            _add_kept(file, kind, kept)
        for done, (user_id, (line, said)) in enumerate(self.users.items(), 1):
            file.lines["users", user_id] = line
            body = old.bodies[ItemKind.USER].get(user_id)
            values = {**(msgspec.json.decode(body) if body else {}), **said}
            add_user(file, user_id, {k: v for k, v in values.items() if v is not None})
            if done % _USERS_A_STEP == 0:
                told(done)
        if len(file.users) > MAX_USERS:
            file.note(("users",), f"would be {len(file.users)}; at most {MAX_USERS} are allowed")
        return file


def read_imported_users(
    path: Path, text: str, tenant_id: str, *, remove_missing: bool
) -> ImportedUsers:
    """Read a table of users; what is wrong with its lines is told when all is checked."""
    problems = Problems()
    users = {user_id: (line, said) for line, user_id, said in read_users(path, text, problems)}
    return ImportedUsers(tenant_id, path, users, remove_missing, problems)


def _without(bodies: Mapping[str, str], users: Mapping[str, Any]) -> dict[str, str]:
    return {item_id: body for item_id, body in bodies.items() if item_id not in users}


def _add_kept(file: TenantFile, kind: ItemKind, bodies: Mapping[str, str]) -> None:
    table = getattr(file, kind.table)
    for item_id, body in bodies.items():
        try:
            table[item_id] = read_item(kind, body)
        except msgspec.ValidationError as error:
            file.note((kind.table, item_id), f"is in the archive, and wrong: {error}")
