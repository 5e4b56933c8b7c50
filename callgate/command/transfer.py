"""`callgate import` and `callgate export`: users and tenants as files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click
from google.protobuf.json_format import MessageToJson

from callgate.command.engine import EPILOG, NotAccepted, address_option, connected, json_option
from callgate.command.terminal import echo
from callgate.connection import Connection
from callgate.v1 import directory_pb2 as pb

CHUNK_BYTES = 32 * 1024
SHOWN_CHANGES = 20
FORMATS = {"csv": pb.DIRECTORY_FORMAT_CSV, "toml": pb.DIRECTORY_FORMAT_TOML}
_SIGNS = {
    pb.CHANGE_ACTION_CREATE: "+",
    pb.CHANGE_ACTION_UPDATE: "~",
    pb.CHANGE_ACTION_DELETE: "-",
}
_PARTS = 100

format_option = click.option(
    "--format",
    "file_format",
    type=click.Choice(tuple(FORMATS)),
    help="How the file is written.  [default: by its ending]",
)


@dataclass(slots=True)
class Told:
    """What an import told."""

    problems: list[pb.ImportProblem] = field(default_factory=list)
    changes: list[pb.DirectoryChange] = field(default_factory=list)
    result: pb.ImportResult = field(default_factory=pb.ImportResult)


@click.command("import", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", metavar="T", default="", help="Whose users a CSV holds.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@click.option("--remove-missing", is_flag=True, help="Delete users that are not in the CSV.")
@click.option("--yes", is_flag=True, help="Do not look first, and do not ask.")
@format_option
@json_option
@address_option
def import_(*, file: Path, address: str, as_json: bool, yes: bool, **given: object) -> None:
    """Import the users of a CSV, or the tenant of a TOML: all of it or nothing.

    Looks first what would change, and asks where somebody would lose something.

    \u0008
    callgate import users.csv --tenant contoso --dry-run
    callgate import contoso.toml
    """
    options = pb.ImportOptions(
        tenant_id=str(given["tenant"]),
        format=_format(file, given["file_format"]),
        remove_missing=bool(given["remove_missing"]),
        file_name=file.name,
    )
    only_look, told = bool(given["dry_run"]), Told()
    with connected(address) as engine:
        if only_look or not yes:
            told = _run(engine, file, options, dry_run=True)
            if not only_look and told.result.losing_count:
                echo(_text(told), err=True)
                click.confirm("Import it?", abort=True, err=True)
        if not only_look:
            told = _run(engine, file, options, dry_run=False)
    _print(told, as_json)


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@click.option(
    "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Where to."
)
@format_option
@address_option
def export(*, tenant: str, output: Path | None, file_format: str | None, address: str) -> None:
    """Export the users of a tenant as CSV, or all of it as TOML.

    \u0008
    callgate export --tenant contoso --format csv > users.csv
    callgate export --tenant contoso --output contoso.toml
    """
    wanted = _format(output or Path(), file_format)
    request = pb.ExportDirectoryRequest(tenant_id=tenant, format=wanted)
    with connected(address) as engine:
        if output is None:
            _write(engine.export_directory(request), sys.stdout.buffer)
            return
        # Written beside and then renamed: a file that is there stays until the new one is whole.
        beside = output.with_name(f"{output.name}.part")
        with beside.open("wb") as written:
            _write(engine.export_directory(request), written)
        beside.replace(output)


def _write(chunks: Iterator[pb.ExportDirectoryResponse], output: BinaryIO) -> None:
    output.writelines(each.chunk for each in chunks)


def _format(file: Path, named: object) -> pb.DirectoryFormat.ValueType:
    found = FORMATS.get(str(named or file.suffix.lower().removeprefix(".")))
    if found is None:
        raise click.UsageError("How is the file written? Give --format csv or --format toml.")
    return found


def _run(engine: Connection, file: Path, options: pb.ImportOptions, *, dry_run: bool) -> Told:
    """Import, with a bar on a terminal. Raises `NotAccepted` with each mistake of the file."""
    told, stages = Told(), len(pb.ImportStage.values()) - 1
    wanted = pb.ImportOptions(dry_run=dry_run)
    wanted.MergeFrom(options)
    bar = click.progressbar(
        length=stages * _PARTS, label="Looking" if dry_run else "Importing", file=sys.stderr
    )
    try:
        with bar:
            for response in engine.import_directory(_messages(file, wanted)):
                _take(told, response)
                if response.HasField("progress"):
                    bar.update(_parts(response.progress) - bar.pos)
            bar.update(bar.length - bar.pos if bar.length else 0)
    except Exception:
        if told.problems:
            raise NotAccepted(_mistakes(file, told.problems)) from None
        raise
    return told


def _messages(file: Path, options: pb.ImportOptions) -> Iterator[pb.ImportDirectoryRequest]:
    yield pb.ImportDirectoryRequest(options=options)
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield pb.ImportDirectoryRequest(chunk=chunk)


def _take(told: Told, response: pb.ImportDirectoryResponse) -> None:
    if response.HasField("problem"):
        told.problems.append(response.problem)
    elif response.HasField("change"):
        told.changes.append(response.change)
    elif response.HasField("result"):
        told.result.CopyFrom(response.result)


def _parts(progress: pb.ImportProgress) -> int:
    done = _PARTS * progress.done_count // progress.total_count if progress.total_count else 0
    return (progress.stage - 1) * _PARTS + done


def _mistakes(file: Path, problems: Sequence[pb.ImportProblem]) -> str:
    lines = []
    for one in problems:
        where = f"{file.name}:{one.line}" if one.line else file.name
        lines.append(f"{where}: {one.field}: {one.text}" if one.field else f"{where}: {one.text}")
    count = len(problems)
    return "\n".join([*lines, f"{count} mistake{'s' if count > 1 else ''}; nothing was changed."])


def _print(told: Told, as_json: bool) -> None:
    if not as_json:
        echo(_text(told))
        return
    for change in told.changes:
        echo(MessageToJson(change, indent=None))
    echo(MessageToJson(told.result, indent=None))


def _text(told: Told) -> str:
    result = told.result
    lines = [_line(change) for change in told.changes[:SHOWN_CHANGES]]
    count = result.created_count + result.updated_count + result.deleted_count
    if count > len(lines):
        lines.append(f"... and {count - len(lines):,} more")
    would = "would be " if result.dry_run else ""
    lines.append(
        f"{result.tenant_id}: {result.created_count:,} {would}created, "
        f"{result.updated_count:,} {would}changed, {result.deleted_count:,} {would}deleted, "
        f"{result.unchanged_count:,} as before; "
        f"{result.losing_count:,} {'would lose' if result.dry_run else 'lost'} something"
    )
    return "\n".join(lines)


def _line(change: pb.DirectoryChange) -> str:
    line = f"{_SIGNS[change.action]} {change.resource}"
    if change.fields:
        line += f"  {', '.join(change.fields)}"
    return f"{line}  loses {', '.join(change.losses)}" if change.losses else line
