"""A directory in an archive, without an engine: the catalogue of tests, and changes to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Connection, select

from archives import TIME_MS
from callgate.v1 import directory_pb2 as pb
from fact_files import FactFiles
from server.facts.catalogue import CatalogueFiles, read_catalogue
from server.facts.directory.bodies import ItemKind
from server.facts.directory.differences import Differences
from server.facts.directory.import_file import ImportedTenant, read_imported_users
from server.facts.directory.import_rows import Import
from server.facts.directory.importing import Importer
from server.facts.directory.rows import Shelf
from server.facts.files.problems import Problems
from server.services.directory.changes import Changes, Wanted
from server.services.directory.messages import ITEMS, TENANT, mask_of
from server.services.directory.transfer import export_texts
from server.storage.sql.audit import AUDIT_TRAIL, AuditTrail
from server.storage.sql.database import Database

USERS = ItemKind.USER
ACCOUNTS = ItemKind.RESOURCE_ACCOUNT
NUMBERS = ItemKind.SERVICE_NUMBER


def catalogue_in(folder: Path) -> CatalogueFiles:
    """Read the catalogue of the small sample."""
    problems = Problems()
    files = read_catalogue(FactFiles(folder).folders.catalogue, problems)
    problems.raise_if_any()
    return files


def a_tenant_message(tenant_id: str = "contoso", **changes: Any) -> pb.Tenant:
    fields: dict[str, Any] = {
        "country": "US",
        "currency_code": "EUR",
        "funding_model": pb.FUNDING_MODEL_POST_PAID,
    }
    return pb.Tenant(tenant_id=tenant_id, **(fields | changes))


def a_user_message(user_id: str = "adele", **changes: Any) -> pb.User:
    fields: dict[str, Any] = {"tenant_id": "contoso", "usage_location": "US", "licences": ["MCOEV"]}
    return pb.User(user_id=user_id, **(fields | changes))


@dataclass
class ArchivedDirectory:
    """A directory in one database."""

    database: Database
    catalogue: CatalogueFiles
    imports: int = 0
    progress: list[tuple[str, int, int]] = field(default_factory=list)

    async def change(self, work: Callable[[Changes], Any]) -> Any:
        def run(connection: Connection) -> Any:
            audit = AuditTrail(lambda: TIME_MS)
            return work(Changes(connection, self.catalogue, audit, "root", TIME_MS))

        return await self.database.write(run)

    async def create_tenant(self, message: pb.Tenant) -> Any:
        wanted = Wanted(TENANT, message, mask_of(TENANT, message, ()))
        return await self.change(lambda changes: changes.create_tenant(message.tenant_id, wanted))

    async def update_tenant(self, message: pb.Tenant, *paths: str) -> Any:
        wanted = Wanted(TENANT, message, mask_of(TENANT, message, paths))
        return await self.change(lambda changes: changes.update_tenant(message.tenant_id, wanted))

    async def create(self, kind: ItemKind, message: Message) -> Any:
        shelf, item_id, wanted = _wanted(kind, message, ())
        return await self.change(lambda changes: changes.create_item(shelf, item_id, wanted))

    async def update(self, kind: ItemKind, message: Message, *paths: str) -> Any:
        shelf, item_id, wanted = _wanted(kind, message, paths)
        return await self.change(lambda changes: changes.update_item(shelf, item_id, wanted))

    async def delete(self, kind: ItemKind, item_id: str, tenant_id: str = "contoso") -> None:
        shelf = Shelf(tenant_id, kind)
        await self.change(lambda changes: changes.delete_item(shelf, item_id, ""))

    async def import_csv(self, text: str, **options: Any) -> Differences:
        remove = options.pop("remove_missing", False)
        users = read_imported_users(Path("users.csv"), text, "contoso", remove_missing=remove)
        return await self._import(users, **options)

    async def import_toml(self, text: str, tenant_id: str = "contoso") -> Differences:
        return await self._import(ImportedTenant(tenant_id, Path("tenant.toml"), text))

    async def _import(self, imported: Any, *, dry_run: bool = False) -> Differences:
        self.imports += 1
        one = Import(f"import-{self.imports}", imported.tenant_id, "root", TIME_MS)
        importer = Importer(self.database, self.catalogue, lambda *step: self.progress.append(step))
        return await importer.run(imported, one, dry_run=dry_run)

    async def export(self, *, toml: bool, tenant_id: str = "contoso") -> str:
        return await self.database.read(
            lambda connection: "".join(export_texts(connection, tenant_id, toml=toml))
        )

    async def audit(self) -> list[tuple[str, str, Any, Any]]:
        """List the audit trail: action, resource, before, after."""
        query = select(AUDIT_TRAIL).order_by(AUDIT_TRAIL.c.audit_id)
        rows: Sequence[Mapping[str, Any]] = await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return [
            (row["action"], row["resource"], _image(row["before"]), _image(row["after"]))
            for row in rows
        ]


def _wanted(kind: ItemKind, message: Any, paths: Sequence[str]) -> tuple[Shelf, str, Wanted]:
    shape = ITEMS[kind]
    item_id = getattr(message, shape.id_field)
    return (
        Shelf(message.tenant_id, kind),
        item_id,
        Wanted(shape, message, mask_of(shape, message, paths)),
    )


def _image(text: str | None) -> Any:
    return None if text is None else json.loads(text)
