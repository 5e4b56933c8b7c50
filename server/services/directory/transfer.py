"""Files in and out: imports in a process of their own, exports from one state of the directory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
from sqlalchemy import Connection

from callgate.v1 import directory_pb2 as pb
from server.access import check_tenant, current
from server.access.errors import RoleMissing, TenantForbidden
from server.access.roles import Role
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.facts.directory import rows
from server.facts.directory.bodies import ItemKind, read_item
from server.facts.directory.import_process import Changed, Finished, Message, Work
from server.facts.directory.rows import Shelf
from server.facts.directory.sections import UserSection
from server.facts.directory.users_csv import write_users
from server.facts.directory.writing import write_tenant
from server.facts.errors import DirectoryChanged, DirectoryInFiles, FileInvalid, ImportRunning
from server.facts.files.telling import Invalid, Problem, Progressed, Stopped
from server.services.directory.source import Source
from server.services.file_work import MAX_CHUNK_BYTES, FileWork, work_on_file
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.contract import Context

MAX_FILE_NAME = 255
_PAGE_ROWS = 5_000
_ID_BYTES = 16
IMPORT_PROCESS = "server.facts.directory.import_process"
FORMATS = (pb.DIRECTORY_FORMAT_CSV, pb.DIRECTORY_FORMAT_TOML)

_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_STAGES = {
    name.removeprefix("IMPORT_STAGE_").lower(): number for name, number in pb.ImportStage.items()
}
_ACTIONS = {
    name.removeprefix("CHANGE_ACTION_").lower(): number for name, number in pb.ChangeAction.items()
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """Imports and exports. `archive_url` and `catalogue_folder` are what an import works with."""

    source: Source
    archive_url: str
    catalogue_folder: Path
    now_ms: Callable[[], int]
    _importing: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- In -----------------------------------------------------------------------------------

    async def import_directory(self, _: object, context: Context) -> None:
        """Import the file of a stream, and tell on it what becomes of it."""
        first: Any = await context.read()
        if first is grpc.aio.EOF or not first.HasField("options"):
            raise InvalidRequest("options", "in the first message")
        work = self._work(first.options)
        if not self.source.changes:
            raise DirectoryInFiles
        if self._importing.locked():
            raise ImportRunning
        async with self._importing:
            asked = FileWork(IMPORT_PROCESS, msgspec.json.encode(work), _DECODER.decode)
            async with aclosing(work_on_file(asked, context)) as messages:
                async for message in messages:
                    await context.write(_response(message, work))
        if not work.dry_run:
            self.source.take_up()

    def _work(self, options: pb.ImportOptions) -> Work:
        """Read what is to be done. Raises `InvalidRequest`, `RoleMissing`, `TenantForbidden`."""
        _check_format(options.format)
        toml = options.format == pb.DIRECTORY_FORMAT_TOML
        if toml and Role.OPERATOR not in current().roles:
            raise RoleMissing
        if options.tenant_id or not toml:
            check_tenant(limits.tenant_id(options.tenant_id))
        if len(options.file_name) > MAX_FILE_NAME or not options.file_name.isprintable():
            raise InvalidRequest("options.file_name", f"at most {MAX_FILE_NAME} characters")
        if toml and options.remove_missing:
            raise InvalidRequest("options.remove_missing", "false: a TOML is always the whole")
        touched = current().tenants
        return Work(
            import_id=secrets.token_hex(_ID_BYTES),
            archive_url=self.archive_url,
            catalogue_folder=str(self.catalogue_folder.absolute()),
            tenant_id=options.tenant_id,
            toml=toml,
            dry_run=options.dry_run,
            remove_missing=options.remove_missing,
            file_name=options.file_name or "file",
            who=current().identity_id,
            now_ms=self.now_ms(),
            touched=None if touched is None else sorted(touched),
        )

    # --- Out ----------------------------------------------------------------------------------

    async def export_directory(self, request: pb.ExportDirectoryRequest, context: Context) -> None:
        """Write a tenant, as it is in one moment, in chunks."""
        check_tenant(limits.tenant_id(request.tenant_id))
        _check_format(request.format)
        toml = request.format == pb.DIRECTORY_FORMAT_TOML

        def write(connection: Connection) -> list[bytes]:
            return list(_chunks(export_texts(connection, request.tenant_id, toml=toml)))

        for chunk in await self.source.read(write):
            await context.write(pb.ExportDirectoryResponse(chunk=chunk))


def _response(message: Message, work: Work) -> pb.ImportDirectoryResponse:
    """Tell what the child told. Raises why nothing was changed."""
    match message:
        case Progressed(stage, done, total):
            progress = pb.ImportProgress(done_count=done, total_count=total)
            progress.stage = _STAGES[stage]
            return pb.ImportDirectoryResponse(progress=progress)
        case Problem(line, name, text):
            return pb.ImportDirectoryResponse(
                problem=pb.ImportProblem(line=line, field=name, text=text)
            )
        case Changed(action, resource, names, losses):
            change = pb.DirectoryChange(resource=resource, fields=names, losses=losses)
            change.action = _ACTIONS[action.value]
            return pb.ImportDirectoryResponse(change=change)
        case Finished():
            return pb.ImportDirectoryResponse(result=_result(message, work))
        case Invalid(first, count):
            raise FileInvalid(first, count)
        case Stopped(why):
            raise _trouble(why)


def _trouble(why: str) -> Exception:
    if why == "forbidden":
        return TenantForbidden()
    return DirectoryChanged() if why == "changed" else ArchiveUnavailable(why)


def _result(finished: Finished, work: Work) -> pb.ImportResult:
    return pb.ImportResult(
        tenant_id=finished.tenant_id,
        created_count=finished.created,
        updated_count=finished.updated,
        deleted_count=finished.deleted,
        unchanged_count=finished.unchanged,
        losing_count=finished.losing,
        dry_run=work.dry_run,
    )


def _check_format(wanted: int) -> None:
    if wanted not in FORMATS:
        raise InvalidRequest("format", "DIRECTORY_FORMAT_CSV or DIRECTORY_FORMAT_TOML")


def export_texts(connection: Connection, tenant_id: str, *, toml: bool) -> Iterator[str]:
    """Write a tenant's users as CSV, or all of it as TOML. Raises `TenantForbidden`."""
    write_all = _toml if toml else _csv
    return write_all(connection, tenant_id)


def _csv(connection: Connection, tenant_id: str) -> Iterator[str]:
    _head(connection, tenant_id)
    users: list[tuple[str, UserSection]] = []
    for item_id, body in _items(connection, Shelf(tenant_id, ItemKind.USER)):
        section = read_item(ItemKind.USER, body)
        assert isinstance(section, UserSection), "of its kind"
        users.append((item_id, section))
    return write_users(users)


def _toml(connection: Connection, tenant_id: str) -> Iterator[str]:
    head = _head(connection, tenant_id)
    items = [
        (kind, item_id, body)
        for kind in ItemKind
        for item_id, body in _items(connection, Shelf(tenant_id, kind))
    ]
    return write_tenant(head, items)


def _head(connection: Connection, tenant_id: str) -> str:
    tenant = rows.find_tenant(connection, tenant_id)
    if tenant is None:
        raise TenantForbidden
    return tenant.body


def _items(connection: Connection, shelf: Shelf) -> list[tuple[str, str]]:
    """List ids and bodies in the order of the ids, whatever order the database has."""
    found: list[tuple[str, str]] = []
    after = ""
    while page := rows.items_after(connection, shelf, after, limit=_PAGE_ROWS):
        found += [(row.item_id, row.body or "") for row in page]
        after = page[-1].item_id
    return sorted(found)


def _chunks(texts: Iterator[str]) -> Iterator[bytes]:
    pile = bytearray()
    for text in texts:
        pile += text.encode()
        while len(pile) >= MAX_CHUNK_BYTES:
            yield bytes(pile[:MAX_CHUNK_BYTES])
            del pile[:MAX_CHUNK_BYTES]
    if pile:
        yield bytes(pile)
