"""How the archive spells what a tenant is and owns: the sections of its file, as JSON.

A body leaves out what is at its default and is always written in the same order, so that equal
sections are equal texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from server.facts.directory.rows import ItemRow
from server.facts.directory.sections import (
    FileSection,
    ResourceAccountSection,
    ServiceNumberSection,
    UserSection,
)
from server.facts.directory.tenant_file import TenantFile, read_tenant_values
from server.facts.files.problems import Problems


class ItemKind(StrEnum):
    """What a tenant owns many of. Accounts come first in the alphabet, for others speak of them."""

    RESOURCE_ACCOUNT = "resource_account"
    SERVICE_NUMBER = "service_number"
    USER = "user"

    @property
    def table(self) -> str:
        """The name of its table in a tenant's file."""
        return f"{self.value}s"


ItemSection = UserSection | ResourceAccountSection | ServiceNumberSection

SECTIONS: Mapping[ItemKind, type[ItemSection]] = {
    ItemKind.RESOURCE_ACCOUNT: ResourceAccountSection,
    ItemKind.SERVICE_NUMBER: ServiceNumberSection,
    ItemKind.USER: UserSection,
}
# Limits of one tenant are those of its file.
TABLES = tuple(kind.table for kind in ItemKind)

_DECODERS = {kind: msgspec.json.Decoder(section) for kind, section in SECTIONS.items()}


def read_item(kind: ItemKind, body: str) -> ItemSection:
    """Read a body of the archive. Raises `msgspec.ValidationError` where it is none any more."""
    return _DECODERS[kind].decode(body)


def read_head(tenant_id: str, body: str, problems: Problems) -> TenantFile:
    """Read what a tenant's file says beside its items; mistakes are told by the tenant's id."""
    return read_tenant_values(Path(tenant_id), msgspec.json.decode(body), problems)


def item_body(section: FileSection) -> str:
    """Write a section for the archive; names of licences in capitals."""
    values = msgspec.to_builtins(section)
    if "licences" in values:
        values["licences"] = [name.strip().upper() for name in values["licences"]]
    return _written(values)


def head_body(file: TenantFile) -> str:
    """Write what a sound file says beside its items for the archive."""
    assert file.tenant is not None, "a sound file has a head"
    values: dict[str, Any] = msgspec.to_builtins(file.tenant)
    if file.purchased:
        values["licences_purchased"] = {
            name.upper(): count for name, count in sorted(file.purchased.items())
        }
    if file.dial_plan:
        values["dial_plan"] = msgspec.to_builtins(file.dial_plan)
    if file.inbound_block is not None:
        values["inbound_block"] = msgspec.to_builtins(file.inbound_block)
    if file.notices is not None:
        values["notices"] = msgspec.to_builtins(file.notices)
    return _written(values)


def item_rows(file: TenantFile, tenant_id: str, revision: int) -> Iterator[ItemRow]:
    """Write all items of a sound file for the archive."""
    for kind in ItemKind:
        sections: Mapping[str, ItemSection] = getattr(file, kind.table)
        for item_id, section in sections.items():
            yield ItemRow(
                tenant_id=tenant_id,
                kind=kind.value,
                item_id=item_id,
                revision=revision,
                number=number_of(kind, item_id, section),
                account_id=account_of(section),
                body=item_body(section),
            )


def number_of(kind: ItemKind, item_id: str, section: ItemSection) -> str | None:
    """Say which number an item holds."""
    if kind is ItemKind.SERVICE_NUMBER:
        return item_id
    return section.number if isinstance(section, UserSection) else None


def account_of(section: ItemSection) -> str:
    """Say which resource account an item speaks of."""
    if isinstance(section, UserSection):
        return section.shared_calling_account
    return section.account if isinstance(section, ServiceNumberSection) else ""


def licences_of(section: ItemSection) -> list[str]:
    """List the licences of an item, in capitals."""
    if isinstance(section, ServiceNumberSection):
        return []
    return [name.strip().upper() for name in section.licences]


def _written(values: Any) -> str:
    return msgspec.json.encode(values).decode()
