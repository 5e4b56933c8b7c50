"""`callgate audit`: who changed what."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.struct_pb2 import Struct

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option
from callgate.command.terminal import echo, style
from callgate.connection import Connection
from callgate.v1 import access_pb2 as pb

_PAGE_SIZE = 1_000


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", default="", help="The tenant.  [default: all changes]")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="How many."
)
@json_option
@address_option
def audit(*, as_json: bool, address: str, tenant: str, limit: int) -> None:
    """List administrative changes, the newest first: who, what, before and after."""
    with connected(address) as engine:
        for entry in itertools.islice(_entries(engine, tenant, limit), limit):
            echo(MessageToJson(entry, indent=None) if as_json else _text(entry))


def _entries(engine: Connection, tenant: str, limit: int) -> Iterator[pb.AuditEntry]:
    question = pb.ListAuditEntriesRequest(tenant_id=tenant, page_size=min(limit, _PAGE_SIZE))
    while True:
        page = engine.list_audit_entries(question)
        yield from page.entries
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _text(entry: pb.AuditEntry) -> str:
    action = style(entry.action, bold=True)
    lines = [f"{words.clock(entry.change_time)}  {entry.identity_id}  {action} {entry.resource}"]
    before = entry.before if entry.HasField("before") else None
    after = entry.after if entry.HasField("after") else None
    for name in sorted({*(before or ()), *(after or ())}):
        was, is_now = _field(before, name), _field(after, name)
        if was != is_now:
            lines.append(f"    {name}: {was} -> {is_now}")
    return "\n".join(lines)


def _field(image: Struct | None, name: str) -> str:
    if image is None or name not in image:
        return "nothing"
    value = json.loads(MessageToJson(image.fields[name]))
    # JSON's numbers travel as floats; what is whole is told so.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
